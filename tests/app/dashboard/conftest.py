"""One application for each file of tests, and a browser that is signed in with the first tenant's key."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.main import create_app
from app.services import Services
from app.settings import Settings
from tests.app.dashboard.browsing import Browser
from tests.app.driving import ADMIN, ADMIN_KEY, add_tenant_with_key


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastAPI]:
    fields = {"data_dir": tmp_path_factory.mktemp("data"), "bootstrap_api_key": ADMIN_KEY, "rate_limit_per_s": 0}
    application = create_app(Settings.model_validate(fields))
    with TestClient(application):
        yield application


@pytest.fixture(scope="module")
def services(application: FastAPI) -> Services:
    built: Services = application.state.services
    return built


@pytest.fixture(scope="module")
def client(application: FastAPI) -> TestClient:
    """The API with the first tenant's key, to make what pages show."""
    return TestClient(application, headers=ADMIN, raise_server_exceptions=False)


@pytest.fixture(scope="module")
def browser(application: FastAPI) -> Browser:
    signed_in = Browser(application)
    assert signed_in.sign_in(ADMIN_KEY).status_code == 303
    return signed_in


@pytest.fixture(scope="module")
def stranger(application: FastAPI, services: Services) -> Browser:
    """A browser that is signed in with the key of another tenant."""
    signed_in = Browser(application)
    assert signed_in.sign_in(add_tenant_with_key(services)).status_code == 303
    return signed_in
