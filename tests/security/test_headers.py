"""What browsers are told: every answer is safe by default, and no page of another origin may read one."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from starlette.testclient import TestClient

from app.main import create_app
from app.safe_headers import SAFE_HEADERS
from app.settings import Settings
from tests.app.driving import ADMIN, ADMIN_KEY, code_of

ORIGIN = "https://app.example"
PREFLIGHT = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/jobs"),
        ("POST", "/v1/jobs"),
        ("GET", "/healthz"),
        ("GET", "/v1/openapi.json"),
        ("GET", "/nope"),
        ("PATCH", "/v1/jobs"),
        ("OPTIONS", "/v1/jobs"),
        ("GET", "/docs"),
    ],
)
def test_every_answer_has_safe_headers(client: TestClient, method: str, path: str) -> None:
    answer = client.request(method, path)
    for name, value in SAFE_HEADERS.items():
        assert name in answer.headers
        if path != "/docs":
            assert answer.headers[name] == value
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "script-src" not in answer.headers["content-security-policy"]
    assert "server" not in answer.headers
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_without_origins_in_the_settings_no_page_may_ask(client: TestClient) -> None:
    answer = client.options("/v1/jobs", headers=PREFLIGHT)
    assert code_of(answer, 405) == "method_not_allowed"
    assert "access-control-allow-origin" not in client.get("/v1/jobs", headers={"Origin": ORIGIN}).headers


def test_the_origins_of_the_settings_may_ask_and_no_others(tmp_path: Path) -> None:
    fields = {"data_dir": tmp_path, "bootstrap_api_key": ADMIN_KEY, "cors_origins": f"{ORIGIN}, http://localhost:3000"}
    with TestClient(create_app(Settings.model_validate(fields)), headers=ADMIN) as client:
        asked = client.options("/v1/jobs", headers=PREFLIGHT)
        assert asked.status_code == 200
        assert asked.headers["access-control-allow-origin"] == ORIGIN
        assert asked.headers["access-control-allow-headers"] == "authorization"
        assert asked.headers["x-request-id"]
        read = client.get("/v1/jobs", headers={"Origin": ORIGIN})
        assert read.headers["access-control-allow-origin"] == ORIGIN
        assert "X-Request-Id" in read.headers["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in read.headers
        for other in ("https://evil.example", f"{ORIGIN}.evil.example", "http://app.example", "null"):
            refused = client.options("/v1/jobs", headers=PREFLIGHT | {"Origin": other})
            assert code_of(refused, 405) == "method_not_allowed"
            assert "access-control-allow-origin" not in client.get("/v1/jobs", headers={"Origin": other}).headers
        failed = client.get("/v1/jobs/job_0", headers={"Origin": ORIGIN})
        assert failed.headers["access-control-allow-origin"] == ORIGIN, "a page may read why it was refused"


@pytest.mark.parametrize("origins", ["*", "app.example", "https://app.example/", "https://*.example", "https://a.example b"])
def test_origins_are_exact(origins: str) -> None:
    with pytest.raises(ValidationError, match="is not an origin"):
        Settings(cors_origins=origins)


@pytest.mark.parametrize("path", ["/v1/jobs", "/healthz", "/v1/openapi.json", "/v1/jobs/job_0", "/nope", "/metrics"])
def test_head_is_get_without_the_body(client: TestClient, path: str) -> None:
    got, head = client.get(path), client.head(path)
    assert head.status_code == got.status_code
    assert head.content == b""
    assert head.headers["content-type"] == got.headers["content-type"]
    if path != "/metrics":
        assert head.headers["content-length"] == got.headers["content-length"]


def test_allow_names_every_method_of_the_path(client: TestClient) -> None:
    for path, allowed in (
        ("/v1/datasets", {"GET", "HEAD", "POST"}),
        ("/v1/jobs/job_0", {"GET", "HEAD", "PATCH", "DELETE"}),
        ("/v1/jobs/estimate", {"POST"}),
        ("/v1/jobs/compare", {"GET", "HEAD"}),
        ("/healthz", {"GET", "HEAD"}),
    ):
        answer = client.request("TRACE", path)
        assert code_of(answer, 405) == "method_not_allowed"
        assert set(answer.headers["allow"].split(", ")) == allowed
