"""Every failure is a problem document, whatever went wrong."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

import app
from app.errors import ERRORS
from app.jobs import service
from app.jobs.models import Job
from app.jobs.schemas import JobOut
from app.services import Services
from tests.app.driving import claim_job, code_of, make_ready, pointers_of, submit

JSON = {"Content-Type": "application/json"}


def test_unknown_paths_and_methods(client: TestClient) -> None:
    assert code_of(client.get("/nope"), 404) == "route_not_found"
    assert code_of(client.get("/v1/jobs/"), 404) == "route_not_found"
    assert code_of(client.put("/v1/jobs/job_1"), 405) == "method_not_allowed"


@pytest.mark.parametrize("depth", [51, 900, 5_000, 100_000])
def test_a_body_that_is_too_deep_is_told_the_limit(client: TestClient, depth: int) -> None:
    answer = client.post("/v1/datasets", content=b"[" * depth + b"]" * depth, headers=JSON)
    assert code_of(answer, 400) == "malformed_json"
    assert "more than 50 levels deep" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"name": "x",}', "malformed_json"),
        (b"\xff\xfe", "malformed_json"),
        (b'{"name": NaN}', "malformed_json"),
        (b"[" * 100_000, "malformed_json"),
        (b"[" * 60 + b"]" * 60, "malformed_json"),
        (b'{"name": "x", "name": "y"}', "malformed_json"),
        (b'{"metadata": {"a": "1", "\\u0061": "2"}}', "malformed_json"),
        (b'{"\\ud800": 1, "\\ud800": 2}', "malformed_json"),
        (b'{"name": ' + b"9" * 5000 + b"}", "malformed_json"),
        (b'{"name": Infinity}', "malformed_json"),
        ('{"name": "x"}'.encode("utf-16"), "malformed_json"),
        (b'\xef\xbb\xbf{"name": "x"}', "malformed_json"),
        (b'{"name": "\xed\xa0\x80"}', "malformed_json"),
        (b"{} {}", "malformed_json"),
    ],
)
def test_bodies_that_are_not_json(client: TestClient, body: bytes, expected: str) -> None:
    assert code_of(client.post("/v1/datasets", content=body, headers=JSON), 400) == expected


@pytest.mark.parametrize("name", ['"a\\u0000b"', '"\\ud800"', "1e999"])
def test_values_that_no_database_takes(client: TestClient, name: str) -> None:
    body = f'{{"name": "x", "task": "language_modeling", "format": "text", "metadata": {{"label": {name}}}}}'
    answer = client.post("/v1/datasets", content=body.encode(), headers=JSON)
    assert code_of(answer, 422) == "invalid_request"
    assert pointers_of(answer) == ["/metadata/label"]


def test_media_types(client: TestClient) -> None:
    for headers in (
        {"Content-Type": "text/plain"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        {},
    ):
        assert code_of(client.post("/v1/datasets", content=b"{}", headers=headers), 415) == "unsupported_media_type"


def test_a_body_that_nobody_reads_is_refused(client: TestClient) -> None:
    for method, path in (("POST", "/v1/jobs/job_0/cancel"), ("GET", "/v1/jobs"), ("DELETE", "/v1/datasets/ds_0")):
        answer = client.request(method, path, content=b'{"force": true}', headers=JSON)
        assert code_of(answer, 422) == "invalid_request"
        assert "takes no body" in answer.json()["detail"]
    assert code_of(client.post("/v1/jobs/job_0/cancel", content=b"{}", headers=JSON), 404) == "job_not_found"


@pytest.mark.parametrize("number", ["1" + "0" * 400, "-1", "1.5", '"7"', "true", "null"])
def test_numbers_are_what_they_should_be(client: TestClient, number: str) -> None:
    body = f'{{"kind": "distillation", "dataset_id": "ds_0", "spec": {{}}, "deadline_s": {number}}}'
    answer = client.post("/v1/jobs", content=body.encode(), headers=JSON)
    assert answer.status_code in {404, 422}
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "path", ["/v1/jobs/job%5F0", "/v1/jobs/%2e%2e", "/v1/jobs/a%2Fb", "/v1/jobs/%ff", "/v1/jobs/%F0%9F%92%A9"]
)
def test_percent_encoded_ids_are_ids_like_any_other(client: TestClient, path: str) -> None:
    assert code_of(client.get(path), 404) in {"job_not_found", "route_not_found"}


def test_times_are_texts(client: TestClient) -> None:
    for value in (1893456000, "1893456000", "2030-01-01", "2030-01-01T00:00:00"):
        answer = client.post("/v1/api-keys", json={"name": "x", "scopes": ["admin"], "expires_at": value})
        assert code_of(answer, 422) == "invalid_request", value
        assert pointers_of(answer) == ["/expires_at"]


def test_a_large_body_is_refused(client: TestClient) -> None:
    answer = client.post("/v1/datasets", content=b'"' + b"x" * (1 << 20) + b'"', headers=JSON)
    assert code_of(answer, 413) == "body_too_large"


def test_every_bad_field_is_named(client: TestClient) -> None:
    body = {"name": "", "task": "chess", "format": "csv", "colums": {}, "columns": {"usr": "u"}, "metadata": {"a": 1}}
    answer = client.post("/v1/datasets", json=body)
    assert code_of(answer, 422) == "invalid_request"
    assert set(pointers_of(answer)) == {"/name", "/task", "/colums", "/columns/usr", "/metadata/a"}
    unknown = next(item for item in answer.json()["errors"] if item["pointer"] == "/columns/usr")
    assert unknown["detail"] == "unknown field 'usr'; remove it or correct its name"


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "cursor=!", "cursor=WzFd", "limits=5"])
def test_bad_queries(client: TestClient, query: str) -> None:
    answer = client.get(f"/v1/datasets?{query}")
    assert code_of(answer, 422) == "invalid_request"
    assert pointers_of(answer)[0] == "/query/" + query.partition("=")[0]


def test_nul_in_a_url(client: TestClient) -> None:
    assert code_of(client.get("/v1/jobs/a%00b"), 400) == "bad_request"
    assert code_of(client.get("/v1/jobs?metadata[a]=%00"), 400) == "bad_request"


def test_request_ids(client: TestClient) -> None:
    assert client.get("/healthz", headers={"X-Request-Id": "from-me.1"}).headers["x-request-id"] == "from-me.1"
    for bad in ("a b", "x" * 129, ""):
        given = client.get("/healthz", headers={"X-Request-Id": bad}).headers["x-request-id"]
        assert given.startswith("req_")


def test_a_defect_is_answered_and_says_nothing_of_itself(client: TestClient, services: Services) -> None:
    with services.engine.begin() as connection:
        connection.execute(text("ALTER TABLE jobs RENAME TO lost"))
    answer = client.get("/v1/jobs")
    # SQLite reports a missing table as it reports a disk that fails.
    expected = (500, "internal_error") if services.engine.dialect.name == "postgresql" else (503, "database_unavailable")
    assert code_of(answer, expected[0]) == expected[1]
    assert "jobs" not in answer.text


@pytest.mark.parametrize("settings", [pytest.param("servers", marks=pytest.mark.service)], indirect=True)
def test_a_request_that_stood_still_until_the_database_ended_its_session_may_be_repeated(
    client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = submit(client, make_ready(client, services))
    claim_job(services, job_id)  # its runs are read after its row
    present = service.present_job

    def present_late(session: Session, job: Job) -> JobOut:
        own = session.scalar(text("SELECT pg_backend_pid()"))
        session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 1"))
        alive = text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid")
        while True:
            with services.sessions.begin() as other:
                if not other.scalar(alive, {"pid": own}):
                    break
        return present(session, job)

    with monkeypatch.context() as patch:
        patch.setattr(service, "present_job", present_late)
        assert code_of(client.get(f"/v1/jobs/{job_id}"), 503) == "database_unavailable"
    assert client.get(f"/v1/jobs/{job_id}").status_code == 200


def test_the_catalogue_has_exactly_the_codes_that_are_used() -> None:
    used = set()
    for path in Path(app.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and path.name != "errors.py":
                used.add(node.value)
    assert set(ERRORS) - used == set()
