"""Cursors: of one list, of one tenant, unchanged."""

from __future__ import annotations

import base64
import re

import pytest
from starlette.testclient import TestClient

from app.pagination import CURSOR_FORM
from app.services import Services
from tests.app.driving import code_of, declare, make_ready, pointers_of, submit


@pytest.fixture
def cursor(client: TestClient) -> str:
    for _ in range(3):
        declare(client)
    given: str = client.get("/v1/datasets?limit=1").json()["next_cursor"]
    assert client.get("/v1/datasets", params={"cursor": given}).status_code == 200
    return given


def refuses(client: TestClient, path: str, cursor: str) -> None:
    """Check that what has the form of a cursor is a place that is not there, and everything else a bad field."""
    answer = client.get(path, params={"cursor": cursor})
    if re.fullmatch(CURSOR_FORM, cursor):
        assert code_of(answer, 404) == "cursor_not_found"
    else:
        assert code_of(answer, 422) == "invalid_request"
    assert pointers_of(answer) == ["/query/cursor"]


@pytest.mark.parametrize(
    "path", ["/v1/jobs", "/v1/api-keys", "/v1/webhook-endpoints", "/v1/deliveries", "/v1/audit-events", "/v1/presets"]
)
def test_a_cursor_of_another_list_is_refused(client: TestClient, cursor: str, path: str) -> None:
    refuses(client, path, cursor)


def test_a_cursor_of_another_jobs_events_is_refused(client: TestClient, services: Services) -> None:
    dataset_id = make_ready(client, services)
    first, second = submit(client, dataset_id), submit(client, dataset_id)
    client.post(f"/v1/jobs/{first}/pause")
    cursor = client.get(f"/v1/jobs/{first}/events?limit=1").json()["next_cursor"]
    assert client.get(f"/v1/jobs/{first}/events", params={"cursor": cursor}).json()["data"][0]["seq"] == 2
    refuses(client, f"/v1/jobs/{second}/events", cursor)


def test_a_cursor_of_another_tenant_is_refused(cursor: str, other_tenant: TestClient) -> None:
    refuses(other_tenant, "/v1/datasets", cursor)


def test_no_changed_cursor_is_taken(client: TestClient, cursor: str) -> None:
    for index in range(len(cursor)):
        for other in ("A", "z", "-", "=", "!"):
            if cursor[index] != other:
                refuses(client, "/v1/datasets", cursor[:index] + other + cursor[index + 1 :])
    for changed in (cursor + "=", cursor + "A", cursor[:-1], "", " " + cursor, base64.urlsafe_b64encode(b'["ds_0"]').decode()):
        refuses(client, "/v1/datasets", changed)


@pytest.mark.parametrize("limit", ["0", "201", "-1", "1.5", "x", "", "1e2", "99999999999999999999"])
def test_the_limit_is_1_to_200(client: TestClient, limit: str) -> None:
    assert code_of(client.get(f"/v1/datasets?limit={limit}"), 422) == "invalid_request"
    for allowed in (1, 200):
        assert client.get(f"/v1/datasets?limit={allowed}").status_code == 200


@pytest.mark.parametrize(
    "url",
    ["/v1/jobs/job_0?expand=runs", "/v1/spec/schema?limit=5", "/v1/datasets?limt=5", "/v1/jobs?metadat[a]=b", "/v1/usage?x="],
)
def test_unknown_parameters_are_refused(client: TestClient, url: str) -> None:
    answer = client.get(url)
    assert code_of(answer, 422) == "invalid_request"


@pytest.mark.parametrize("url", ["/v1/datasets?limit=1&limit=2", "/v1/jobs?metadata[a]=b&metadata[a]=c"])
def test_a_parameter_is_given_once(client: TestClient, url: str) -> None:
    assert "more than once" in client.get(url).json()["detail"]
