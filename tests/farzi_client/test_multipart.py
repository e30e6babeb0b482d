"""Large files go up in parts, against the real service: killed in the middle, continued by another process."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.settings import Settings
from app.storage_parts import MIN_PART_BYTES
from farzi_client import ApiError, Client, FarziClientError, UploadInterrupted
from farzi_client.multipart import DEFAULT_PART_BYTES, FilePlan
from tests.app.driving import ADMIN_KEY, RunningServer, running_in_thread
from tests.farzi_client.blocking import connect
from tests.farzi_client.cli import run_farzi
from tests.farzi_client.unruly_server import UnrulyServer, hang_up, problem, reply

CONTENT = b"user,item,timestamp\n" + b"1,2,3\n" * (2 * DEFAULT_PART_BYTES // 6)
AWAITING = {"id": "ds_1", "status": "awaiting_upload"}
VALIDATING = {"id": "ds_1", "status": "validating"}


@pytest.fixture(params=["embedded", pytest.param("presigned", marks=pytest.mark.service)])
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunningServer]:
    """The API on a directory, and on an object store that takes parts directly."""
    fields: dict[str, str] = {}
    if request.param == "presigned":
        fields = dict(request.getfixturevalue("s3_settings"))
        fields["s3_public_endpoint_url"] = fields["s3_endpoint_url"]
    settings = Settings.model_validate({"data_dir": tmp_path / "data", "bootstrap_api_key": ADMIN_KEY, **fields})
    with running_in_thread(settings) as running:
        yield running


@pytest.fixture
def real(service: RunningServer) -> Iterator[Client]:
    with Client(ADMIN_KEY, base_url=service.url) as connected:
        yield connected


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "events.csv"
    path.write_bytes(CONTENT)
    return path


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_large_file_goes_up_in_parts(service: RunningServer, kind: str, file: Path) -> None:
    seen: list[tuple[int, int]] = []
    with connect(kind, ADMIN_KEY, service.url) as either:
        dataset = either.datasets.upload(
            file, format="csv", parts_from_bytes=1, on_progress=lambda done, total: seen.append((done, total))
        )
    assert (dataset.status, dataset.size_bytes, dataset.sha256) == (
        "validating", len(CONTENT), hashlib.sha256(CONTENT).hexdigest(),
    )  # fmt: skip
    assert seen == sorted(seen)
    assert seen[-1] == (len(CONTENT), len(CONTENT))


UPLOADING = """
import os, signal, sys
from farzi_client import Client
from farzi_client import multipart
multipart.NUM_AT_ONCE = 1
def die_in_the_middle(done, total):
    if done:
        os.kill(os.getpid(), signal.SIGKILL)
with Client(sys.argv[1], base_url=sys.argv[2]) as client:
    client.datasets.upload(sys.argv[3], format="csv", name="killed", parts_from_bytes=1, on_progress=die_in_the_middle)
"""


def test_another_process_goes_on_where_a_killed_one_was(
    service: RunningServer, real: Client, file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = subprocess.run([sys.executable, "-c", UPLOADING, ADMIN_KEY, service.url, str(file)], check=False)
    assert killed.returncode == -signal.SIGKILL
    (dataset,) = [item for item in real.datasets.list() if item.name == "killed"]
    assert dataset.status == "awaiting_upload"
    sent: list[int] = []
    real.datasets.resume_upload(dataset.id, file, on_progress=lambda done, total: sent.append(done))
    assert sent[0] == DEFAULT_PART_BYTES, "the first part is not sent again"
    assert real.datasets.get(dataset.id).sha256 == hashlib.sha256(CONTENT).hexdigest()
    monkeypatch.setenv("FARZI_API_URL", service.url)
    monkeypatch.setenv("FARZI_API_KEY", ADMIN_KEY)
    ran = run_farzi(capsys, "dataset", "upload", str(file), "--resume", dataset.id, "--no-wait")
    assert (ran.code, "keeps the content it has" in ran.err) == (2, True)


def test_the_command_resumes(
    service: RunningServer, real: Client, file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARZI_API_URL", service.url)
    monkeypatch.setenv("FARZI_API_KEY", ADMIN_KEY)
    dataset = real.datasets.create("begun", format="csv")
    ran = run_farzi(capsys, "dataset", "upload", str(file), "--resume", f"{dataset.id}/upl_0")
    assert (ran.code, "no open upload" in ran.err) == (2, True)
    assert run_farzi(capsys, "dataset", "upload", str(file), "--resume", dataset.id, "--name", "x").code == 2
    assert run_farzi(capsys, "dataset", "upload", str(file), "--resume", dataset.id, "--no-wait").code == 0
    assert real.datasets.get(dataset.id).status == "validating"


def test_an_upload_of_another_file_is_not_gone_on_with(real: Client, service: RunningServer, file: Path) -> None:
    dataset = real.datasets.create("begun", format="csv")
    plan = FilePlan.of(file)
    upload = real.datasets._transport.post(f"/v1/datasets/{dataset.id}/uploads", plan.body())
    file.write_bytes(CONTENT.replace(b"1,2,3", b"1,2,4", 1))
    with pytest.raises(FarziClientError, match="another file"):
        real.datasets.resume_upload(dataset.id, file, upload_id=upload["id"])
    assert real.datasets.resume_upload(dataset.id, file).status == "validating"


def answer_of(**fields: object) -> dict[str, object]:
    upload = {
        "id": "upl_1",
        "status": "open",
        "size_bytes": 6,
        "sha256": hashlib.sha256(b"a,b,c\n").hexdigest(),
        "part_size_bytes": MIN_PART_BYTES,
        "received_parts": [],
        "missing_parts": [],
    }
    return upload | fields


def test_a_broken_upload_keeps_the_data_set_and_says_how_to_go_on(server: UnrulyServer, client: Client, tmp_path: Path) -> None:
    file = tmp_path / "small.csv"
    file.write_bytes(b"a,b,c\n")
    path = "/v1/datasets/ds_1/uploads"
    part = {"number": 1, "offset_bytes": 0, "size_bytes": 6, "url": f"{path}/upl_1/parts/1", "headers": {}}
    server.on("POST", "/v1/datasets", reply(AWAITING, status=201))
    server.on("POST", path, reply(answer_of(missing_parts=[part]), status=201))
    server.on("PUT", f"{path}/upl_1/parts/1", hang_up)
    with pytest.raises(UploadInterrupted, match="--resume ds_1/upl_1") as caught:
        client.datasets.upload(file, format="csv", parts_from_bytes=1)
    assert (caught.value.dataset_id, caught.value.upload_id) == ("ds_1", "upl_1")
    assert server.requests("DELETE", "/v1/datasets/ds_1") == []


def test_the_key_goes_to_nobody_else(server: UnrulyServer, client: Client, tmp_path: Path) -> None:
    file = tmp_path / "small.csv"
    file.write_bytes(b"a,b,c\n")
    path = "/v1/datasets/ds_1/uploads"
    part = {"number": 1, "offset_bytes": 0, "size_bytes": 6, "url": f"{server.url}/bucket/1?sig=x", "headers": {"x-amz-a": "b"}}
    server.on("POST", "/v1/datasets", reply(AWAITING, status=201))
    server.on("POST", path, reply(answer_of(missing_parts=[part]), status=201))
    server.on("PUT", "/bucket/1", problem(403, "expired"), reply({}))
    server.on("GET", f"{path}/upl_1", reply(answer_of(missing_parts=[part])), reply(answer_of()))
    server.on("POST", f"{path}/upl_1/complete", problem(409, "upload_completing"), reply(VALIDATING, status=202))
    assert client.datasets.upload(file, format="csv", parts_from_bytes=1).status == "validating"
    puts = server.requests("PUT", "/bucket/1")
    assert [item.body for item in puts] == [b"a,b,c\n"] * 2, "a URL that is too old is replaced by a fresh one"
    assert all("Authorization" not in item.headers and item.headers["x-amz-a"] == "b" for item in puts)
    assert len(server.requests("POST", f"{path}/upl_1/complete")) == 2


def test_urls_that_never_work_end_the_upload(server: UnrulyServer, client: Client, tmp_path: Path) -> None:
    file = tmp_path / "small.csv"
    file.write_bytes(b"a,b,c\n")
    path = "/v1/datasets/ds_1/uploads"
    part = {"number": 1, "offset_bytes": 0, "size_bytes": 6, "url": f"{server.url}/bucket/1", "headers": {}}
    server.on("POST", "/v1/datasets", reply(AWAITING, status=201))
    server.on("POST", path, reply(answer_of(missing_parts=[part]), status=201))
    server.on("PUT", "/bucket/1", problem(403, "SignatureDoesNotMatch"))
    server.on("GET", f"{path}/upl_1", reply(answer_of(missing_parts=[part])))
    server.on("DELETE", "/v1/datasets/ds_1", reply(b"", status=204))
    with pytest.raises(ApiError):
        client.datasets.upload(file, format="csv", parts_from_bytes=1)
    assert len(server.requests("PUT", "/bucket/1")) == 4


def test_a_plan_is_made_in_constant_memory(tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    with path.open("wb") as file:
        file.truncate(3 * DEFAULT_PART_BYTES + 1)
    tracemalloc.start()
    try:
        plan = FilePlan.of(path)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(plan.part_sha256s) == 4
    assert plan.part_sha256s[3] == hashlib.sha256(b"\0").hexdigest()
    assert plan.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert peak_bytes < 4 << 20
