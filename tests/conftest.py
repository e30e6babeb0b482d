"""Fixtures of every suite: real servers, started at first use; a database, a flushed Redis and a bucket for each test."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.orm import Session, sessionmaker

from app.db import make_engine, make_session_factory
from app.migrate import upgrade
from app.settings import Settings
from tests.services.object_store import running_object_store
from tests.services.postgres import TEMPLATE, PostgresServer, running_postgres
from tests.services.redis import empty_redis, running_redis


def pytest_configure() -> None:
    """Let a session that is told to stop end its servers; compute on the CPU, where the same seed gives the same bits."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    signal.signal(signal.SIGTERM, lambda _number, _frame: pytest.exit("terminated", returncode=143))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Postgres with a template database, built by the migrations."""
    with running_postgres() as server:
        server.execute(f"CREATE DATABASE {TEMPLATE}")
        upgrade(Settings(database_url=server.url_of(TEMPLATE)))
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """URL of a database of the test's own, with every table."""
    with postgres_server.fresh_database(TEMPLATE) as url:
        yield url


@pytest.fixture
def empty_postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """URL of a database of the test's own without tables, for the migrations."""
    with postgres_server.fresh_database("template1") as url:
        yield url


@pytest.fixture(scope="session")
def migrated_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory whose SQLite database was built by the migrations."""
    directory = tmp_path_factory.mktemp("migrated")
    upgrade(Settings(data_dir=directory))
    return directory


@pytest.fixture
def data_dir(migrated_directory: Path, tmp_path: Path) -> Path:
    """A data directory of the test's own; its SQLite database has every table."""
    return shutil.copytree(migrated_directory, tmp_path / "data")


@pytest.fixture(scope="session")
def redis_server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def redis_url(redis_server_url: str) -> str:
    """URL of an empty Redis."""
    empty_redis(redis_server_url)
    return redis_server_url


@pytest.fixture(scope="session")
def s3_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The ``s3_*`` fields of the settings for a real S3 server with one bucket; object keys are the test's to choose."""
    with running_object_store(tmp_path_factory.mktemp("object-store")) as settings:
        yield settings


@pytest.fixture(params=["postgres", "sqlite"])
def database_settings(request: pytest.FixtureRequest, data_dir: Path) -> Settings:
    """Settings of a service with a database of the test's own, with every table; the test runs once on each kind."""
    database_url = request.getfixturevalue("postgres_url") if request.param == "postgres" else None
    return Settings(data_dir=data_dir, database_url=database_url)


@pytest.fixture
def session_factory(database_settings: Settings) -> Iterator[sessionmaker[Session]]:
    """Sessions on ``database_settings``."""
    engine = make_engine(database_settings)
    yield make_session_factory(engine)
    engine.dispose()
