"""Uploads and validation, over a network that drops connections."""

from __future__ import annotations

import base64
import hashlib
import tracemalloc
from pathlib import Path

import pytest

from farzi_client import ApiError, Client, DatasetInvalid, FarziClientError, WaitTimeout
from farzi_client.uploading import hash_file, read_chunks
from tests.farzi_client.unruly_server import UnrulyServer, hang_up, problem, reply

AWAITING = {"id": "ds_1", "status": "awaiting_upload"}
VALIDATING = {"id": "ds_1", "status": "validating"}
CONTENT = b"user,item,timestamp\n" + b"1,2,3\n" * 1000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "events.csv"
    path.write_bytes(CONTENT)
    return path


def test_an_upload_carries_length_digest_and_every_byte(server: UnrulyServer, client: Client, file: Path) -> None:
    server.on("POST", "/v1/datasets", reply(AWAITING, status=201))
    server.on("PUT", "/v1/datasets/ds_1/content", reply(VALIDATING, status=202))
    seen: list[tuple[int, int]] = []
    dataset = client.datasets.upload(file, format="csv", on_progress=lambda done, total: seen.append((done, total)))
    assert dataset.status == "validating"
    put = server.requests("PUT", "/v1/datasets/ds_1/content")[0]
    digest = base64.b64encode(hashlib.sha256(CONTENT).digest()).decode()
    assert put.body == CONTENT
    assert put.headers["Content-Digest"] == f"sha-256=:{digest}:"
    assert put.headers["Content-Length"] == str(len(CONTENT))
    assert "Transfer-Encoding" not in put.headers
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_a_broken_upload_starts_again_from_the_first_byte(server: UnrulyServer, client: Client, file: Path) -> None:
    server.on("PUT", "/v1/datasets/ds_1/content", hang_up, reply(VALIDATING, status=202))
    client.datasets.upload_content("ds_1", file)
    assert [item.body for item in server.requests("PUT", "/v1/datasets/ds_1/content")] == [CONTENT, CONTENT]


def test_an_upload_whose_answer_was_lost_counts(server: UnrulyServer, client: Client, file: Path) -> None:
    server.on("PUT", "/v1/datasets/ds_1/content", hang_up, problem(409, "dataset_not_awaiting_upload"))
    server.on("GET", "/v1/datasets/ds_1", reply({**VALIDATING, "sha256": hashlib.sha256(CONTENT).hexdigest()}))
    assert client.datasets.upload_content("ds_1", file).status == "validating"


def test_a_data_set_with_other_bytes_is_a_conflict(server: UnrulyServer, client: Client, file: Path) -> None:
    server.on("PUT", "/v1/datasets/ds_1/content", problem(409, "dataset_not_awaiting_upload"))
    server.on("GET", "/v1/datasets/ds_1", reply({**VALIDATING, "sha256": "00"}))
    with pytest.raises(ApiError) as caught:
        client.datasets.upload_content("ds_1", file)
    assert caught.value.status == 409


def test_a_refused_upload_leaves_no_declaration_behind(server: UnrulyServer, client: Client, file: Path) -> None:
    server.on("POST", "/v1/datasets", reply(AWAITING, status=201))
    server.on("PUT", "/v1/datasets/ds_1/content", problem(413, "upload_too_large"))
    server.on("DELETE", "/v1/datasets/ds_1", reply(b"", status=204))
    with pytest.raises(ApiError) as caught:
        client.datasets.upload(file, format="csv")
    assert caught.value.code == "upload_too_large"
    assert len(server.requests("DELETE", "/v1/datasets/ds_1")) == 1


def test_a_missing_file_declares_nothing(server: UnrulyServer, client: Client, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        client.datasets.upload(tmp_path / "nothing.csv", format="csv")
    assert server.received == []


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    size_bytes = 64 << 20
    path = tmp_path / "large.csv"
    with path.open("wb") as file:
        file.truncate(size_bytes)
    tracemalloc.start()
    try:
        hash_file(path)
        num_bytes = sum(len(chunk) for chunk in read_chunks(path, size_bytes))
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert num_bytes == size_bytes
    assert peak_bytes < 4 << 20


def test_a_file_that_grows_meanwhile_does_not_outrun_its_length(file: Path) -> None:
    chunks = read_chunks(file, 100)
    file.write_bytes(CONTENT + b"more")
    assert b"".join(chunks) == CONTENT[:100]


def test_lists_go_on_page_after_page(server: UnrulyServer, client: Client) -> None:
    first = {"data": [{"id": "ds_2", "status": "ready"}], "has_more": True, "next_cursor": "c1"}
    last = {"data": [{"id": "ds_1", "status": "ready"}], "has_more": False, "next_cursor": None}
    server.on("GET", "/v1/datasets", reply(first), reply(last))
    datasets = client.datasets.list()
    assert next(datasets).id == "ds_2"
    assert len(server.received) == 1
    assert [item.id for item in datasets] == ["ds_1"]
    assert "cursor=c1" in server.received[1].path


def test_wait_returns_the_ready_data_set(server: UnrulyServer, client: Client) -> None:
    server.on("GET", "/v1/datasets/ds_1", reply(VALIDATING), reply({"id": "ds_1", "status": "ready", "num_events": 7}))
    assert client.datasets.wait("ds_1").num_events == 7


def test_wait_names_the_first_bad_rows(server: UnrulyServer, client: Client) -> None:
    problems = [{"line": n, "column": "item", "reason": "is empty"} for n in range(2, 7)]
    server.on("GET", "/v1/datasets/ds_1", reply({"id": "ds_1", "status": "invalid"}))
    server.on("GET", "/v1/datasets/ds_1/report", reply({"problems": problems, "num_problems": 5}))
    with pytest.raises(DatasetInvalid, match=r"line 2, column item: is empty.*and 2 more") as caught:
        client.datasets.wait("ds_1")
    assert caught.value.dataset.status == "invalid"


def test_wait_gives_up_in_time(server: UnrulyServer, client: Client) -> None:
    server.on("GET", "/v1/datasets/ds_1", reply(VALIDATING))
    with pytest.raises(WaitTimeout):
        client.datasets.wait("ds_1", timeout_s=0.3)


def test_there_is_nothing_to_wait_for_before_the_upload(server: UnrulyServer, client: Client) -> None:
    server.on("GET", "/v1/datasets/ds_1", reply(AWAITING))
    with pytest.raises(FarziClientError, match="awaits its upload"):
        client.datasets.wait("ds_1")
