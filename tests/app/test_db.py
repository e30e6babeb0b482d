"""Connections to Postgres that the server has closed are noticed before they are used."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from app.db import TRUSTED_S, make_engine
from app.settings import Settings

pytestmark = pytest.mark.service


@pytest.fixture
def engine(postgres_url: str) -> Iterator[Engine]:
    built = make_engine(Settings(database_url=postgres_url))
    yield built
    built.dispose()


def test_a_restart_of_the_database_fails_no_transaction_that_begins_after_it(engine: Engine) -> None:
    with engine.connect() as one, engine.connect() as another:
        pids = [connection.execute(text("SELECT pg_backend_pid()")).scalar_one() for connection in (one, another)]
    other = make_engine(Settings(database_url=engine.url.render_as_string(hide_password=False)))
    with other.connect() as connection:
        for pid in pids:
            assert connection.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid}).scalar_one()
    other.dispose()
    time.sleep(TRUSTED_S)
    with engine.connect() as one, engine.connect() as another:
        assert {connection.execute(text("SELECT pg_backend_pid()")).scalar_one() for connection in (one, another)}.isdisjoint(
            pids
        )


def test_a_connection_that_was_used_a_moment_ago_is_not_asked(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    pings: list[object] = []
    monkeypatch.setattr(engine.dialect, "do_ping", pings.append)
    for _ in range(5):
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    assert pings == []
    monkeypatch.setattr("app.db.TRUSTED_S", 0.0)
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    assert len(pings) == 1
