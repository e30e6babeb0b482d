"""Uploads: streamed, limited, checked; one that fails leaves nothing behind."""

from __future__ import annotations

import base64
import gzip
import hashlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
from sqlalchemy import func, select
from starlette.testclient import TestClient

from app.jobs.models import Job, JobEvent, OutboxMessage
from app.main import create_app
from app.services import Services
from app.settings import Settings
from tests.app.conftest import MAX_UPLOAD_BYTES
from tests.app.driving import ADMIN, ADMIN_KEY, CONTENT, RunningServer, code_of, declare, running_in_thread


def digest_of(content: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"


def put(client: TestClient | httpx.Client, dataset_id: str, content: Any, **headers: str) -> Any:
    return client.put(f"/v1/datasets/{dataset_id}/content", content=content, headers=headers)


def assert_nothing_was_kept(client: TestClient | httpx.Client, services: Services, dataset_id: str) -> None:
    assert client.get(f"/v1/datasets/{dataset_id}").json()["status"] == "awaiting_upload"
    assert list((services.settings.resolved_data_dir / "incoming").glob("*")) == []
    if services.settings.s3_bucket is None:
        objects = services.settings.resolved_data_dir / "objects"
        assert [path for path in objects.rglob("*") if path.is_file()] == []
    with services.reading_sessions() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 0
    assert put(client, dataset_id, CONTENT).status_code == 202, "the data set can still be uploaded"


def test_an_upload_is_kept_and_queued_for_validation(client: TestClient, services: Services) -> None:
    dataset_id = declare(client)
    answer = put(client, dataset_id, CONTENT, **{"Content-Digest": digest_of(CONTENT)})
    assert answer.status_code == 202
    assert answer.json()["status"] == "validating"
    assert answer.json()["size_bytes"] == len(CONTENT)
    assert answer.json()["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    with services.reading_sessions() as session:
        job = session.scalars(select(Job)).one()
        assert (job.kind, job.queue, job.status, job.dataset_id) == ("validation", "cpu", "queued", dataset_id)
        assert session.scalars(select(JobEvent.type)).all() == ["job.queued"]
        assert session.scalars(select(OutboxMessage.job_id)).all() == [job.id]
    assert list((services.settings.resolved_data_dir / "incoming").iterdir()) == []


@pytest.mark.parametrize("media_type", ["application/octet-stream", "text/csv; charset=utf-8", "application/json"])
def test_whatever_a_file_is_called_its_bytes_are_taken(client: TestClient, media_type: str) -> None:
    answer = put(client, declare(client), CONTENT, **{"Content-Type": media_type, "Repr-Digest": digest_of(CONTENT)})
    assert answer.status_code == 202


def test_a_second_upload_is_refused(client: TestClient) -> None:
    dataset_id = declare(client)
    assert put(client, dataset_id, CONTENT).status_code == 202
    assert code_of(put(client, dataset_id, b"other"), 409) == "dataset_already_uploaded"
    assert client.get(f"/v1/datasets/{dataset_id}").json()["size_bytes"] == len(CONTENT)


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b"", {}, 422, "empty_upload"),
        (b"x" * (MAX_UPLOAD_BYTES + 1), {}, 413, "upload_too_large"),
        (CONTENT, {"Content-Digest": digest_of(b"other")}, 422, "content_digest_mismatch"),
        (CONTENT, {"Content-Digest": "sha-256=:eA==:"}, 422, "invalid_content_digest"),
        (CONTENT, {"Content-Digest": "md5=:eA==:"}, 422, "invalid_content_digest"),
        (CONTENT, {"Repr-Digest": digest_of(b"other")}, 422, "content_digest_mismatch"),
        (CONTENT, {"Content-Digest": digest_of(CONTENT), "Repr-Digest": digest_of(b"other")}, 422, "content_digest_mismatch"),
        (CONTENT, {"Content-Digest": f"{digest_of(CONTENT)}, {digest_of(b'other')}"}, 422, "content_digest_mismatch"),
        (CONTENT, {"Repr-Digest": "md5=:eA==:"}, 422, "invalid_content_digest"),
        (CONTENT, {"Content-Type": "multipart/form-data; boundary=x"}, 415, "unsupported_media_type"),
        (CONTENT, {"Content-Range": f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}"}, 400, "bad_request"),
        (CONTENT, {"Content-Encoding": "br"}, 415, "unsupported_media_type"),
        (CONTENT, {"Content-Encoding": "gzip, zstd"}, 415, "unsupported_media_type"),
        (CONTENT, {"Content-Encoding": "gzip"}, 422, "content_encoding_mismatch"),
        (gzip.compress(CONTENT, mtime=0), {"Content-Encoding": "zstd"}, 422, "content_encoding_mismatch"),
        (CONTENT, {"Content-Length": "many"}, 400, "bad_request"),
        (CONTENT, {"Content-Length": "-1"}, 400, "bad_request"),
        (CONTENT, {"Content-Length": "1"}, 400, "bad_request"),
        (CONTENT, {"Content-Length": "9" * 400}, 413, "upload_too_large"),
    ],
)
def test_bad_uploads(
    client: TestClient, services: Services, content: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    dataset_id = declare(client)
    assert code_of(put(client, dataset_id, content, **headers), status) == code
    assert_nothing_was_kept(client, services, dataset_id)


def test_clients_that_call_any_body_a_form_are_let_in(client: TestClient) -> None:
    answer = put(client, declare(client), CONTENT, **{"Content-Type": "application/x-www-form-urlencoded"})
    assert (answer.status_code, answer.json()["size_bytes"]) == (202, len(CONTENT))


@pytest.mark.parametrize(("encoding", "header"), [("gzip", {}), ("gzip", {"Content-Encoding": "gzip"}), ("zstd", {})])
def test_compressed_bytes_are_kept_as_they_came(client: TestClient, encoding: str, header: dict[str, str]) -> None:
    packed = pa.compress(CONTENT, codec=encoding, asbytes=True)
    dataset_id = declare(client)
    answer = put(client, dataset_id, packed, **header, **{"Content-Digest": digest_of(packed)})
    assert answer.status_code == 202
    assert answer.json()["content_encoding"] == encoding
    assert (answer.json()["size_bytes"], answer.json()["sha256"]) == (len(packed), hashlib.sha256(packed).hexdigest())


def test_unknown_and_foreign_ids(client: TestClient, other_tenant: TestClient) -> None:
    assert code_of(put(client, "ds_0", CONTENT), 404) == "dataset_not_found"
    dataset_id = declare(client)
    assert code_of(put(other_tenant, dataset_id, CONTENT), 404) == "dataset_not_found"


def test_a_stream_without_a_length_is_limited_while_it_comes(server: RunningServer) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 50 * MAX_UPLOAD_BYTES:
            sent += 1 << 16
            yield b"x" * (1 << 16)

    with httpx.Client(base_url=server.url, headers=ADMIN) as client:
        dataset_id = declare(client)
        assert code_of(put(client, dataset_id, endless()), 413) == "upload_too_large"
        assert sent < 20 * MAX_UPLOAD_BYTES, "the server listened to the end"
        dataset_id = declare(client)
        assert code_of(put(client, dataset_id, iter([b""])), 422) == "empty_upload"
        assert_nothing_was_kept(client, server.services, dataset_id)


def test_an_announced_length_is_refused_before_a_byte_is_sent(server: RunningServer) -> None:
    with httpx.Client(base_url=server.url, headers=ADMIN) as client:
        dataset_id = declare(client)
    answer = _send_head(server, dataset_id, MAX_UPLOAD_BYTES + 1)
    assert answer.startswith(b"HTTP/1.1 413")


def test_who_expects_100_is_refused_before_or_told_to_go_on(server: RunningServer) -> None:
    with httpx.Client(base_url=server.url, headers=ADMIN) as client:
        dataset_id = declare(client)
    expecting = b"Expect: 100-continue\r\n\r\n"
    head = _head(dataset_id, MAX_UPLOAD_BYTES + 1)[:-2] + expecting
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(head)
        assert connection.recv(4096).startswith(b"HTTP/1.1 413")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(_head(dataset_id, len(CONTENT))[:-2] + expecting)
        assert connection.recv(4096).startswith(b"HTTP/1.1 100")
        connection.sendall(CONTENT)
        assert connection.recv(4096).startswith(b"HTTP/1.1 202")


def test_a_client_that_says_nothing_more_is_let_go(tmp_path: Path) -> None:
    fields = {"data_dir": tmp_path / "data", "bootstrap_api_key": ADMIN_KEY, "upload_idle_s": 0.3}
    with (
        running_in_thread(Settings.model_validate(fields)) as server,
        httpx.Client(base_url=server.url, headers=ADMIN) as client,
    ):
        dataset_id = declare(client)
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(_head(dataset_id, 1000) + b"only the beginning")
            assert connection.recv(4096).startswith(b"HTTP/1.1 408")
        assert_nothing_was_kept(client, server.services, dataset_id)


def test_a_client_that_goes_away_leaves_nothing(server: RunningServer) -> None:
    with httpx.Client(base_url=server.url, headers=ADMIN) as client:
        dataset_id = declare(client)
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(_head(dataset_id, 1000) + b"only the beginning")
            _wait_for(lambda: any((server.services.settings.resolved_data_dir / "incoming").glob("*")))
        _wait_for(lambda: not any((server.services.settings.resolved_data_dir / "incoming").glob("*")))
        assert_nothing_was_kept(client, server.services, dataset_id)


def test_of_two_uploads_at_once_one_wins(server: RunningServer) -> None:
    contents = [bytes([letter]) * (1 << 20) for letter in b"ab"]
    with httpx.Client(base_url=server.url, headers=ADMIN, timeout=30) as client:
        dataset_id = declare(client)
        answers: list[httpx.Response] = []
        threads = [
            threading.Thread(target=lambda content=content: answers.append(put(client, dataset_id, content)))
            for content in contents
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answer.status_code for answer in answers) == [202, 409]
        kept = client.get(f"/v1/datasets/{dataset_id}").json()
    key = _content_key(server.services, dataset_id)
    content = b"".join(server.services.store.open_stream(key))
    assert hashlib.sha256(content).hexdigest() == kept["sha256"]
    with server.services.reading_sessions() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 1


def test_a_store_that_fails_leaves_nothing(tmp_path: Path) -> None:
    settings = Settings.model_validate({"data_dir": tmp_path / "data", "bootstrap_api_key": ADMIN_KEY})
    with TestClient(create_app(settings), headers=ADMIN) as client:
        dataset_id = declare(client)
        datasets = settings.resolved_data_dir / "objects" / "datasets"
        datasets.write_bytes(b"a file where a directory has to be")
        assert code_of(put(client, dataset_id, CONTENT), 503) == "storage_unavailable"
        assert client.get(f"/v1/datasets/{dataset_id}").json()["status"] == "awaiting_upload"
        datasets.unlink()
        assert put(client, dataset_id, CONTENT).status_code == 202


def test_what_a_killed_server_left_behind_is_removed_at_the_next_start(tmp_path: Path) -> None:
    directories = [tmp_path / "incoming", tmp_path / "objects" / ".incoming"]
    for directory in directories:
        directory.mkdir(parents=True)
        for name in ("old", "fresh"):
            (directory / name).write_bytes(b"half an upload")
        os.utime(directory / "old", (0, 0))
    with TestClient(create_app(Settings(data_dir=tmp_path))):
        assert [[path.name for path in directory.iterdir()] for directory in directories] == [["fresh"], ["fresh"]]


def _head(dataset_id: str, length: int) -> bytes:
    return (
        f"PUT /v1/datasets/{dataset_id}/content HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_KEY}\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


def _send_head(server: RunningServer, dataset_id: str, length: int) -> bytes:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(_head(dataset_id, length))
        return connection.recv(4096)


def _wait_for(condition: Any) -> None:
    give_up_at = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.02)


def _content_key(services: Services, dataset_id: str) -> str:
    with services.engine.connect() as connection:
        rows = connection.exec_driver_sql(f"SELECT content_key FROM datasets WHERE id = '{dataset_id}'")
        return str(rows.scalar_one())
