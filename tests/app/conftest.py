"""The application, with its real parts: once embedded (SQLite and a directory), once on servers (Postgres and S3)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.logging import configure_logging
from app.main import create_app
from app.services import Services
from app.settings import Settings
from app.storage import ObjectStore, make_object_store
from tests.app.driving import ADMIN_KEY, RunningServer, add_tenant_with_key, running_in_thread

MAX_UPLOAD_BYTES = 3 << 20


@pytest.fixture(params=["embedded", pytest.param("servers", marks=pytest.mark.service)])
def settings(request: pytest.FixtureRequest, data_dir: Path) -> Settings:
    """Settings of a service with a first key; the test runs once on each pair of stores."""
    fields: dict[str, str] = {}
    if request.param == "servers":
        fields = {"database_url": request.getfixturevalue("postgres_url"), **request.getfixturevalue("s3_settings")}
    return Settings.model_validate(
        {"data_dir": data_dir, "bootstrap_api_key": ADMIN_KEY, "max_upload_bytes": MAX_UPLOAD_BYTES, **fields}
    )


@pytest.fixture(params=["directory", pytest.param("s3", marks=pytest.mark.service)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ObjectStore]:
    """An object store on its own; the test runs once on each kind."""
    fields = request.getfixturevalue("s3_settings") if request.param == "s3" else {}
    built = make_object_store(Settings(data_dir=tmp_path / "data", **fields))
    yield built
    built.close()


@pytest.fixture(autouse=True)
def _log_as_in_production() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    configure_logging(Settings())
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture
def application(settings: Settings) -> FastAPI:
    return create_app(settings)


@pytest.fixture
def anonymous(application: FastAPI) -> Iterator[TestClient]:
    """A client without a key."""
    with TestClient(application, raise_server_exceptions=False, follow_redirects=False) as client:
        yield client


@pytest.fixture
def client(anonymous: TestClient) -> TestClient:
    """A client with the admin key of the first tenant."""
    anonymous.headers["Authorization"] = f"Bearer {ADMIN_KEY}"
    return anonymous


@pytest.fixture
def services(client: TestClient, application: FastAPI) -> Services:
    """The parts behind ``client``."""
    built: Services = application.state.services
    return built


@pytest.fixture
def server(settings: Settings) -> Iterator[RunningServer]:
    """The application behind a real socket."""
    with running_in_thread(settings) as running:
        yield running


@pytest.fixture
def other_tenant(services: Services, client: TestClient, application: FastAPI) -> TestClient:
    """A client of another tenant of the same service."""
    key = add_tenant_with_key(services)
    return TestClient(application, headers={"Authorization": f"Bearer {key}"}, raise_server_exceptions=False)
