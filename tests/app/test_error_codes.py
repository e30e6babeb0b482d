"""Every error code of the catalogue can be met over HTTP, and is what docs/errors.md and the OpenAPI document say of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.errors import ERRORS
from app.main import create_app
from app.openapi import operations
from app.openapi_errors import codes_of
from app.problems import STATUSES_TO_RETRY_AFTER
from app.settings import Settings
from tests.app import provocations_of_uploads
from tests.app.driving import ADMIN, ADMIN_KEY
from tests.app.provocations import PROVOCATIONS, World
from tests.app.test_openapi import DOCUMENT, WITHOUT_OPERATION


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    fields = {"data_dir": tmp_path_factory.mktemp("data"), "bootstrap_api_key": ADMIN_KEY, "rate_limit_per_s": 0}
    application = create_app(Settings.model_validate(fields))
    with TestClient(application, headers=ADMIN, raise_server_exceptions=False, follow_redirects=False) as client:
        yield World(client, application.state.services)


def test_every_code_has_a_provocation() -> None:
    missing = sorted(set(ERRORS) - set(PROVOCATIONS))
    assert provocations_of_uploads.__name__ in {function.__module__ for function in PROVOCATIONS.values()}
    assert missing == [], f"write a function for each in tests/app/provocations*.py: {', '.join(missing)}"
    assert sorted(set(PROVOCATIONS) - set(ERRORS)) == [], "codes that are gone"


@pytest.mark.parametrize("code", sorted(PROVOCATIONS))
def test_every_code_is_met_over_http(world: World, code: str) -> None:
    answer = PROVOCATIONS[code](world)
    kind = ERRORS[code]
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem = answer.json()
    assert problem["code"] == code, problem
    assert (answer.status_code, problem["status"]) == (kind.status, kind.status)
    assert (problem["title"], problem["retryable"]) == (kind.title, kind.retryable)
    assert problem["type"] == f"urn:farzi:error:{code}"
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert len(problem["detail"]) > 10
    assert answer.headers["cache-control"] == "no-store"
    assert ("retry-after" in answer.headers) == (kind.retryable and kind.status in STATUSES_TO_RETRY_AFTER)
    assert kind.status != 405 or answer.headers["allow"]
    assert kind.status != 401 or answer.headers["www-authenticate"] == "Bearer"
    if code not in WITHOUT_OPERATION:
        method, _, operation = _operation_of(str(answer.request.method), answer.request.url.path)
        assert code in codes_of(method, operation), f"{operation['operationId']} does not name it; see app/openapi_errors.py"


def _operation_of(method: str, path: str) -> tuple[str, str, dict[str, Any]]:
    for candidate in operations(DOCUMENT):
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(candidate[1]))
        if candidate[0] == method.lower() and re.fullmatch(pattern, path):
            return candidate
    raise AssertionError(f"{method} {path} is no operation")
