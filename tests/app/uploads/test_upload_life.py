"""Uploads when several act at once, when time runs out, and when a process dies in the middle."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select, update
from starlette.testclient import TestClient

from app.jobs.models import Job
from app.main import create_app
from app.services import Services
from app.settings import Settings
from app.storage import ObjectMissingError
from app.storage_parts import MIN_PART_BYTES
from app.uploads.models import Upload, UploadStatus
from app.uploads.release import expire_uploads, release_ended, release_upload, sweep_unknown
from app.uploads.service import unfinished_object
from tests.app.driving import ADMIN, ADMIN_KEY, RunningServer, code_of, declare
from tests.app.uploads.sending import CONTENT, PART_SHA256S, PARTS, PLAN, begin, content_of, send, unfinished


def change(services: Services, upload: dict[str, Any], **values: Any) -> None:
    with services.sessions.begin() as session:
        session.execute(update(Upload).where(Upload.id == upload["id"]).values(**values))


def row_of(services: Services, upload: dict[str, Any]) -> Upload:
    with services.reading_sessions() as session:
        return session.get_one(Upload, upload["id"])


def test_of_several_completions_at_once_one_completes(server: RunningServer) -> None:
    with httpx.Client(base_url=server.url, headers=ADMIN, timeout=60) as client:
        path, upload = begin(client)
        send(client, path)
        answers: list[httpx.Response] = []
        threads = [threading.Thread(target=lambda: answers.append(client.post(f"{path}/complete"))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {answer.status_code for answer in answers} <= {202, 409}
        assert {answer.json()["code"] for answer in answers if answer.status_code == 409} <= {"upload_completing"}
        assert client.post(f"{path}/complete").status_code == 202
    with server.services.reading_sessions() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 1
    assert content_of(server.services, upload["dataset_id"]) == CONTENT


def test_the_same_part_at_once_from_several_is_one_part(server: RunningServer) -> None:
    with httpx.Client(base_url=server.url, headers=ADMIN, timeout=60) as client:
        path, _ = begin(client)
        threads = [threading.Thread(target=send, args=(client, path, 1)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (part,) = client.get(path).json()["received_parts"]
        # The last to be stored need not be the last to be recorded: then it is not said whose digest it is.
        assert part["sha256"] in {PART_SHA256S[0], None}
        assert part["size_bytes"] == len(PARTS[0])
        send(client, path, 2, 3)
        assert client.post(f"{path}/complete").status_code == 202


def test_while_one_completes_another_waits(client: TestClient, services: Services) -> None:
    path, upload = begin(client)
    send(client, path)
    later = datetime.now(UTC) + timedelta(minutes=1)
    change(services, upload, status=UploadStatus.COMPLETING, claim="somebody", claimed_until=later)
    for answer in (client.post(f"{path}/complete"), client.put(f"{path}/parts/1", content=PARTS[0]), client.delete(path)):
        assert code_of(answer, 409) == "upload_completing"
    assert answer.headers["retry-after"]
    expire_uploads(services.sessions)
    assert client.get(path).json()["status"] == "completing"


@pytest.mark.parametrize("joined", [False, True], ids=["before", "after"])
def test_a_completion_whose_process_died_is_taken_up(client: TestClient, services: Services, joined: bool) -> None:
    path, upload = begin(client)
    send(client, path)
    row = row_of(services, upload)
    if joined:
        services.store.parts.complete(unfinished_object(row), services.store.parts.list(unfinished_object(row)))
    earlier = datetime.now(UTC) - timedelta(minutes=1)
    change(services, upload, status=UploadStatus.COMPLETING, claim="gone", claimed_until=earlier)
    seen = client.get(path).json()
    assert (seen["status"], len(seen["received_parts"]), seen["missing_parts"]) == ("open", 3, [])
    assert client.post(f"{path}/complete").status_code == 202
    assert content_of(services, upload["dataset_id"]) == CONTENT
    assert unfinished(services, upload["dataset_id"]) == []


def test_an_upload_ends_when_its_time_is_over(client: TestClient, services: Services) -> None:
    path, upload = begin(client)
    send(client, path, 1)
    assert (expire_uploads(services.sessions), release_ended(services.sessions, services.store)) == (0, 0)
    change(services, upload, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    assert client.get(path).json()["status"] == "expired", "nobody wrote it down yet"
    assert code_of(client.put(f"{path}/parts/2", content=PARTS[1]), 409) == "upload_not_open"
    threads = [threading.Thread(target=_clean, args=(services,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    row = row_of(services, upload)
    assert (row.status, row.store_id) == ("expired", None)
    assert unfinished(services, upload["dataset_id"]) == []
    assert client.get(path).json()["missing_parts"] == []


def _clean(services: Services) -> None:
    expire_uploads(services.sessions)
    release_ended(services.sessions, services.store)


def test_parts_that_no_row_knows_are_swept_and_others_are_not(client: TestClient, services: Services) -> None:
    _, upload = begin(client)
    orphan = services.store.parts.start(f"datasets/{upload['dataset_id']}/content/orphan", sha256="0" * 64)
    foreign = services.store.parts.start(f"somebody/{upload['id']}", sha256="0" * 64)
    sweep_unknown(services.sessions, services.store, older_than_s=3600.0)
    assert len(unfinished(services, upload["dataset_id"])) == 2, "both are young"
    sweep_unknown(services.sessions, services.store, older_than_s=-60.0)
    assert unfinished(services, upload["dataset_id"]) == [row_of(services, upload).content_key]
    assert foreign.key in {item.key for item in services.store.parts.list_unfinished()}
    services.store.parts.abort(foreign)
    assert orphan.key not in {item.key for item in services.store.parts.list_unfinished()}


def test_an_object_that_is_put_together_after_its_data_set_was_deleted_goes_too(
    client: TestClient, services: Services, tmp_path: Path
) -> None:
    _, upload = begin(client)
    assert client.delete(f"/v1/datasets/{upload['dataset_id']}").status_code == 204
    row, content = row_of(services, upload), tmp_path / "content"
    assert row.store_id is None
    content.write_bytes(CONTENT)
    services.store.put_file(row.content_key, content)  # a completion that had the last part already
    release_upload(services.sessions, services.store, upload["id"])
    with pytest.raises(ObjectMissingError):
        services.store.stat(row.content_key)


def test_parts_that_the_store_lost_end_the_upload(client: TestClient, services: Services) -> None:
    path, upload = begin(client)
    send(client, path)
    services.store.parts.abort(unfinished_object(row_of(services, upload)))
    assert code_of(client.post(f"{path}/complete"), 409) == "upload_parts_lost"
    assert client.get(path).json()["status"] == "failed"


@pytest.mark.service
@pytest.mark.parametrize("declared", [None, PART_SHA256S], ids=["undeclared", "declared"])
def test_parts_go_to_a_public_object_store_without_the_api(
    s3_settings: dict[str, str], tmp_path: Any, declared: list[str] | None
) -> None:
    public = {"s3_public_endpoint_url": s3_settings["s3_endpoint_url"]}
    settings = Settings.model_validate({"data_dir": tmp_path, "bootstrap_api_key": ADMIN_KEY, **s3_settings, **public})
    with TestClient(create_app(settings), headers=ADMIN) as client, httpx.Client() as outside:
        path, upload = begin(client, part_sha256s=declared)
        for part, content in zip(upload["missing_parts"][:2], PARTS, strict=False):
            assert part["url"].startswith(f"{s3_settings['s3_endpoint_url']}/")
            other = outside.put(part["url"], content=b"x" * (len(content) - 1), headers=part["headers"])
            assert other.status_code == 403
            assert outside.put(part["url"], content=content, headers=part["headers"]).status_code == 200
        seen = client.get(path).json()
        assert [item["sha256"] for item in seen["received_parts"]] == (declared[:2] if declared else [None, None])
        assert [item["number"] for item in seen["missing_parts"]] == [3]
        send(client, path, 3)
        assert client.post(f"{path}/complete").status_code == 202
        key = {"Idempotency-Key": "no secrets are stored"}
        again = f"/v1/datasets/{declare(client)}/uploads"
        first, replayed = (client.post(again, json=PLAN, headers=key).json() for _ in range(2))
        assert first["missing_parts"][0]["url"].startswith("http://")
        assert replayed["missing_parts"][0]["url"] == f"{again}/{first['id']}/parts/1"
        assert len(PARTS[0]) == MIN_PART_BYTES
