"""The committed descriptions are those of the code."""

from __future__ import annotations

import json
import re
from pathlib import Path

from starlette.testclient import TestClient

from app.jobs.events import EventType
from app.main import create_app
from app.openapi import DOCS, render_errors, render_openapi
from app.settings import Settings

CONTRACT_PATHS = [
    "/v1/datasets",
    "/v1/datasets/{}",
    "/v1/datasets/{}/content",
    "/v1/datasets/{}/uploads",
    "/v1/datasets/{}/uploads/{}/complete",
    "/v1/datasets/{}/preview",
    "/v1/datasets/{}/report",
    "/v1/jobs",
    "/v1/jobs/estimate",
    "/v1/jobs/{}",
    "/v1/jobs/{}/cancel",
    "/v1/jobs/{}/pause",
    "/v1/jobs/{}/resume",
    "/v1/jobs/{}/retry",
    "/v1/jobs/{}/events",
    "/v1/jobs/{}/events/stream",
    "/v1/jobs/{}/metrics",
    "/v1/jobs/{}/artifacts",
    "/v1/jobs/{}/artifacts/{}",
    "/v1/spec/schema",
    "/v1/presets",
    "/v1/webhook-endpoints",
    "/v1/webhook-endpoints/{}/test",
    "/v1/webhook-endpoints/{}/rotate-secret",
    "/v1/deliveries",
    "/v1/deliveries/{}/replay",
    "/v1/api-keys",
    "/v1/usage",
    "/healthz",
    "/readyz",
    "/metrics",
]


def test_openapi_is_committed() -> None:
    committed = (DOCS / "openapi.json").read_text()
    assert committed == render_openapi(create_app(Settings())), "run: python -m app.openapi"


def test_the_error_codes_are_committed() -> None:
    assert (DOCS / "errors.md").read_text() == render_errors(), "run: python -m app.openapi"


def test_every_path_of_the_contract_is_there() -> None:
    described = json.loads((DOCS / "openapi.json").read_text())["paths"]
    known = {re.sub(r"\{\w+\}", "{}", path) for path in described}
    assert set(CONTRACT_PATHS) <= known


def test_the_guide_names_every_path() -> None:
    guide = "".join(page.read_text() for page in (DOCS / "api.md", *(DOCS / "api").glob("*.md")))
    described = json.loads((DOCS / "openapi.json").read_text())["paths"]
    for path in described:
        pattern = re.sub(r"\\\{\w+\\\}", r"[^/`\\s]+", re.escape(path))
        assert re.search(pattern, guide), path


def test_the_service_gives_out_the_committed_description(client: TestClient) -> None:
    assert client.get("/v1/openapi.json").json() == json.loads((Path(DOCS) / "openapi.json").read_text())


def test_every_type_of_event_is_in_the_guide() -> None:
    rows = re.findall(r"^\| (`[^|]+`) \|", (DOCS / "api/events.md").read_text(), re.MULTILINE)
    assert sorted(re.findall(r"`([^`]+)`", " ".join(rows))) == sorted(EventType)
