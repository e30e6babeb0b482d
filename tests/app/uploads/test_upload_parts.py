"""Uploads in parts: sent, looked at, completed, aborted; whatever a client does wrong."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import func, select
from starlette.testclient import TestClient

from app.jobs.models import Job
from app.services import Services
from app.storage_parts import MIN_PART_BYTES
from app.uploads.models import Upload
from tests.app.driving import code_of, declare, pointers_of
from tests.app.uploads.sending import CONTENT, PART_SHA256S, PARTS, PLAN, begin, content_of, send, sha256, unfinished


@pytest.mark.parametrize("declared", [None, PART_SHA256S], ids=["undeclared", "declared"])
def test_a_file_in_parts_is_validated_like_any_other(client: TestClient, services: Services, declared: Any) -> None:
    path, upload = begin(client, part_sha256s=declared)
    assert (upload["status"], upload["num_parts"], upload["received_parts"]) == ("open", 3, [])
    assert [item["size_bytes"] for item in upload["missing_parts"]] == [len(part) for part in PARTS]
    assert [item["offset_bytes"] for item in upload["missing_parts"]] == [0, MIN_PART_BYTES, 2 * MIN_PART_BYTES]
    assert [item["url"] for item in upload["missing_parts"]] == [f"{path}/parts/{number}" for number in (1, 2, 3)]
    send(client, path, 3, 1, 2)
    seen = client.get(path).json()
    assert seen["missing_parts"] == []
    assert [(item["number"], item["sha256"]) for item in seen["received_parts"]] == list(enumerate(PART_SHA256S, 1))
    answer = client.post(f"{path}/complete")
    assert answer.status_code == 202, answer.text
    dataset = answer.json()
    assert (dataset["status"], dataset["sha256"], dataset["size_bytes"]) == ("validating", sha256(CONTENT), len(CONTENT))
    assert content_of(services, dataset["id"]) == CONTENT
    assert client.get(path).json()["status"] == "completed"
    assert unfinished(services, upload["dataset_id"]) == []


def test_completing_again_changes_nothing(client: TestClient, services: Services) -> None:
    path, _ = begin(client)
    send(client, path)
    key = {"Idempotency-Key": "complete-once"}
    first = client.post(f"{path}/complete", headers=key)
    again, replayed = client.post(f"{path}/complete"), client.post(f"{path}/complete", headers=key)
    assert [answer.status_code for answer in (first, again, replayed)] == [202, 202, 202]
    assert replayed.headers["idempotent-replayed"] == "true"
    assert first.json() == again.json() == replayed.json()
    with services.reading_sessions() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 1
    assert code_of(client.put(f"{path}/parts/1", content=PARTS[0]), 409) == "upload_not_open"
    assert code_of(client.delete(path), 409) == "upload_not_open"


def test_missing_parts_are_named(client: TestClient) -> None:
    path, _ = begin(client)
    send(client, path, 2)
    answer = client.post(f"{path}/complete")
    assert code_of(answer, 409) == "upload_incomplete"
    assert answer.json()["missing_parts"] == [1, 3]
    assert [item["number"] for item in client.get(path).json()["missing_parts"]] == [1, 3]
    send(client, path, 1, 3)
    assert client.post(f"{path}/complete").status_code == 202


def test_the_last_bytes_of_a_part_count(client: TestClient, services: Services) -> None:
    path, upload = begin(client)
    assert client.put(f"{path}/parts/1", content=b"x" * MIN_PART_BYTES).status_code == 200
    send(client, path)
    assert client.get(path).json()["received_parts"][0]["sha256"] == PART_SHA256S[0]
    assert client.post(f"{path}/complete").status_code == 202
    assert content_of(services, upload["dataset_id"]) == CONTENT


def test_another_file_than_the_declared_one_leaves_nothing(client: TestClient, services: Services) -> None:
    path, upload = begin(client, sha256=sha256(b"another file"))
    send(client, path)
    assert code_of(client.post(f"{path}/complete"), 422) == "upload_digest_mismatch"
    failed = client.get(path).json()
    assert (failed["status"], failed["error_code"]) == ("failed", "upload_digest_mismatch")
    assert client.get(f"/v1/datasets/{upload['dataset_id']}").json()["status"] == "awaiting_upload"
    assert unfinished(services, upload["dataset_id"]) == []
    with services.reading_sessions() as session:
        row = session.get_one(Upload, upload["id"])
        assert row.store_id is None
    second, _ = begin(client, upload["dataset_id"])
    send(client, second)
    assert client.post(f"{second}/complete").status_code == 202


@pytest.mark.parametrize(
    ("number", "content", "headers", "status", "code"),
    [
        ("0", PARTS[0], {}, 422, "invalid_request"),
        ("4", PARTS[0], {}, 422, "invalid_request"),
        ("-1", PARTS[0], {}, 422, "invalid_request"),
        ("9" * 30, PARTS[0], {}, 422, "invalid_request"),
        ("one", PARTS[0], {}, 422, "invalid_request"),
        ("1%00", PARTS[0], {}, 400, "bad_request"),
        ("1", PARTS[0][:-1], {}, 422, "part_size_mismatch"),
        ("1", PARTS[0] + b"x", {}, 422, "part_size_mismatch"),
        ("3", PARTS[0], {}, 422, "part_size_mismatch"),
        ("1", b"", {}, 422, "empty_upload"),
        ("1", PARTS[0], {"Content-Digest": f"sha-256=:{'A' * 43}=:"}, 422, "content_digest_mismatch"),
        ("1", b"x" * MIN_PART_BYTES, {}, 422, "content_digest_mismatch"),
        ("1", PARTS[0], {"Content-Encoding": "gzip"}, 415, "unsupported_media_type"),
        ("1", PARTS[0], {"Content-Type": "multipart/form-data; boundary=x"}, 415, "unsupported_media_type"),
        ("1", PARTS[0], {"Content-Range": "bytes 0-1/2"}, 400, "bad_request"),
        ("1", PARTS[0], {"Content-Length": "5"}, 422, "part_size_mismatch"),
    ],
)  # fmt: skip
def test_bad_parts(client: TestClient, number: str, content: bytes, headers: dict[str, str], status: int, code: str) -> None:
    path, _ = begin(client, part_sha256s=PART_SHA256S)
    assert code_of(client.put(f"{path}/parts/{number}", content=content, headers=headers), status) == code
    assert client.get(path).json()["received_parts"] == []
    send(client, path)
    assert client.post(f"{path}/complete").status_code == 202


def test_a_stream_without_a_length_is_cut_at_the_size_of_the_part(client: TestClient) -> None:
    path, _ = begin(client)
    answer = client.put(f"{path}/parts/3", content=iter([PARTS[2], b"and more"]))
    assert code_of(answer, 422) == "part_size_mismatch"
    assert client.put(f"{path}/parts/3", content=iter([PARTS[2]])).status_code == 200


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"size_bytes": 0}, "/size_bytes"),
        ({"size_bytes": -1}, "/size_bytes"),
        ({"sha256": "abc"}, "/sha256"),
        ({"sha256": "\0" * 64}, "/sha256"),
        ({"part_size_bytes": MIN_PART_BYTES - 1}, "/part_size_bytes"),
        ({"part_size_bytes": 2**40}, "/part_size_bytes"),
        ({"part_sha256s": PART_SHA256S[:2]}, "/part_sha256s"),
        ({"part_sha256s": [*PART_SHA256S[:2], "x"]}, "/part_sha256s/2"),
        ({"part_sha256s": []}, "/part_sha256s"),
        ({"parts": 3}, "/parts"),
    ],
)
def test_bad_plans(client: TestClient, services: Services, fields: dict[str, Any], pointer: str) -> None:
    dataset_id = declare(client)
    answer = client.post(f"/v1/datasets/{dataset_id}/uploads", json=PLAN | fields)
    assert code_of(answer, 422) == "invalid_request"
    assert pointers_of(answer) == [pointer]
    assert unfinished(services, dataset_id) == []


def test_a_file_that_is_too_large_is_refused_before_a_part_is_sent(client: TestClient) -> None:
    answer = client.post(f"/v1/datasets/{declare(client)}/uploads", json=PLAN | {"size_bytes": 5 * MIN_PART_BYTES})
    assert code_of(answer, 413) == "upload_too_large"


def test_ids_of_others_are_unknown(client: TestClient, other_tenant: TestClient) -> None:
    path, upload = begin(client)
    elsewhere = f"/v1/datasets/{declare(client)}/uploads/{upload['id']}"
    theirs = f"/v1/datasets/{declare(other_tenant)}/uploads/{upload['id']}"
    for caller, known in ((other_tenant, path), (client, elsewhere), (other_tenant, theirs), (client, f"{path}0")):
        assert code_of(caller.get(known), 404) == "upload_not_found"
        assert code_of(caller.put(f"{known}/parts/1", content=PARTS[0]), 404) == "upload_not_found"
        assert code_of(caller.post(f"{known}/complete"), 404) == "upload_not_found"
        assert code_of(caller.delete(known), 404) == "upload_not_found"
    assert code_of(other_tenant.post(path.rpartition("/")[0], json=PLAN), 404) == "dataset_not_found"
    assert code_of(other_tenant.get(path.rpartition("/")[0]), 404) == "dataset_not_found"


def test_an_aborted_upload_is_over(client: TestClient, services: Services) -> None:
    path, upload = begin(client)
    send(client, path, 1)
    assert client.delete(path).status_code == 204
    assert client.delete(path).status_code == 204
    assert client.get(path).json()["status"] == "aborted"
    assert code_of(client.put(f"{path}/parts/2", content=PARTS[1]), 409) == "upload_not_open"
    assert code_of(client.post(f"{path}/complete"), 409) == "upload_not_open"
    assert unfinished(services, upload["dataset_id"]) == []
    second, _ = begin(client, upload["dataset_id"])
    listed = client.get(second.rpartition("/")[0]).json()["data"]
    assert [item["status"] for item in listed] == ["open", "aborted"]
    assert "missing_parts" not in listed[0]


def test_the_first_content_wins(client: TestClient) -> None:
    path, upload = begin(client)
    send(client, path)
    assert client.put(f"/v1/datasets/{upload['dataset_id']}/content", content=b"user,item\n1,2\n").status_code == 202
    assert code_of(client.put(f"{path}/parts/1", content=PARTS[0]), 409) == "dataset_already_uploaded"
    assert code_of(client.post(f"{path}/complete"), 409) == "dataset_already_uploaded"
    assert code_of(client.post(path.rpartition("/")[0], json=PLAN), 409) == "dataset_already_uploaded"


def test_deleting_the_data_set_ends_its_uploads(client: TestClient, services: Services) -> None:
    path, upload = begin(client)
    send(client, path, 1)
    assert client.delete(f"/v1/datasets/{upload['dataset_id']}").status_code == 204
    assert unfinished(services, upload["dataset_id"]) == []
    assert code_of(client.post(f"{path}/complete"), 409) == "upload_not_open"


def test_a_data_set_has_a_few_open_uploads(client: TestClient) -> None:
    dataset_id = declare(client)
    paths = [begin(client, dataset_id)[0] for _ in range(10)]
    answer = client.post(f"/v1/datasets/{dataset_id}/uploads", json=PLAN)
    assert code_of(answer, 409) == "too_many_uploads"
    client.delete(paths[0])
    begin(client, dataset_id)


def test_a_repeated_beginning_is_the_same_upload(client: TestClient, services: Services) -> None:
    path = f"/v1/datasets/{declare(client)}/uploads"
    first, again = (client.post(path, json=PLAN, headers={"Idempotency-Key": "begin-once"}) for _ in range(2))
    assert again.headers["idempotent-replayed"] == "true"
    assert first.json()["id"] == again.json()["id"]
    assert len(unfinished(services, first.json()["dataset_id"])) == 1
    client.delete(f"{path}/{first.json()['id']}")
