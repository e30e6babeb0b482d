"""A Postgres that closed its connections, or says nothing on them, is noticed, and known from one that refuses a statement."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psycopg.errors
import pytest
from sqlalchemy import Engine, make_url, text
from sqlalchemy.exc import DBAPIError, OperationalError

from app.db import TRUSTED_S, is_away, make_engine
from app.settings import Settings
from app.silent_database import SERVER_LIMITS_S
from tests.chaos.proxy import FaultProxy

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


@pytest.fixture
def proxy(postgres_url: str) -> Iterator[FaultProxy]:
    proxy = FaultProxy(f"{make_url(postgres_url).query['host']}/.s.PGSQL.5432")
    yield proxy
    proxy.close()


@pytest.mark.parametrize("statement", ["SELECT 1", "COMMIT"])
def test_a_database_that_says_nothing_is_given_up(
    postgres_url: str, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    monkeypatch.setattr("app.silent_database.SILENCE_S", 0.5)
    name = make_url(postgres_url).database
    engine = make_engine(Settings(database_url=f"postgresql+psycopg://postgres@127.0.0.1:{proxy.port}/{name}"))
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        proxy.faults.is_silent = True
        with pytest.raises(OperationalError, match="said nothing") as caught:
            connection.execute(text(statement)) if statement != "COMMIT" else connection.commit()
        assert is_away(caught.value)
        assert caught.value.connection_invalidated
    proxy.faults.is_silent = False
    with engine.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1
    engine.dispose()


def test_the_server_ends_what_takes_too_long_before_it_is_given_up(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SERVER_LIMITS_S, "statement_timeout", 0.2)
    engine = make_engine(Settings(database_url=postgres_url))
    with engine.connect() as connection, pytest.raises(OperationalError, match="statement timeout") as caught:
        connection.execute(text("SELECT pg_sleep(60)"))
    assert is_away(caught.value)
    assert not caught.value.connection_invalidated
    engine.dispose()
    patient = make_engine(Settings(database_url=postgres_url), is_patient=True)
    with patient.connect() as connection:
        assert connection.execute(text("SHOW statement_timeout")).scalar_one() == "0"
    patient.dispose()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (psycopg.errors.IdleInTransactionSessionTimeout, True),
        (psycopg.errors.AdminShutdown, True),
        (psycopg.errors.ConnectionFailure, True),
        (psycopg.errors.UniqueViolation, False),
        (psycopg.errors.InFailedSqlTransaction, False),
    ],
)
def test_a_session_that_the_server_ended_is_known_by_its_code(error: type[psycopg.Error], expected: bool) -> None:
    """The driver may have read the words of the end before it saw the connection close."""
    wrapped = DBAPIError("SELECT 1", {}, error("the end"))
    assert not wrapped.connection_invalidated
    assert is_away(wrapped) is is_away(error("the end")) is expected
