"""Every failure is a problem document, whatever went wrong."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

import app
from app.errors import ERRORS
from app.services import Services
from tests.app.driving import code_of, pointers_of

JSON = {"Content-Type": "application/json"}


def test_unknown_paths_and_methods(client: TestClient) -> None:
    assert code_of(client.get("/nope"), 404) == "route_not_found"
    assert code_of(client.get("/v1/jobs/"), 404) == "route_not_found"
    answer = client.patch("/v1/jobs/job_1")
    assert code_of(answer, 405) == "method_not_allowed"
    assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"name": "x",}', "malformed_json"),
        (b"\xff\xfe", "malformed_json"),
        (b'{"name": NaN}', "malformed_json"),
        (b"[" * 100_000, "malformed_json"),
        (b"[" * 60 + b"]" * 60, "malformed_json"),
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
    for headers in ({"Content-Type": "text/plain"}, {"Content-Type": "multipart/form-data; boundary=x"}):
        assert code_of(client.post("/v1/datasets", content=b"{}", headers=headers), 415) == "unsupported_media_type"


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


def test_what_is_not_built_says_so(client: TestClient, anonymous: TestClient) -> None:
    for method, path in (
        ("POST", "/v1/jobs/estimate"),
        ("GET", "/v1/usage"),
        ("POST", "/v1/webhook-endpoints"),
        ("GET", "/v1/deliveries"),
        ("POST", "/v1/datasets/ds_1/uploads"),
        ("GET", "/"),
    ):
        assert code_of(client.request(method, path), 501) == "not_implemented"
    del anonymous.headers["Authorization"]
    assert code_of(anonymous.get("/v1/usage"), 401) == "missing_api_key"


def test_the_catalogue_has_exactly_the_codes_that_are_used() -> None:
    used = set()
    for path in Path(app.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and path.name != "errors.py":
                used.add(node.value)
    assert set(ERRORS) - used == set()
