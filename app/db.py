"""Database engine, sessions, column types and the declarative base, the same on Postgres and on SQLite."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import JSON, DateTime, Dialect, Engine, MetaData, create_engine, event
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, IntegrityError, InvalidatePoolError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.types import TypeDecorator
from tenacity import Retrying, retry_if_exception, stop_after_delay, stop_any, stop_never, stop_when_event_set, wait_exponential
from uuid_utils import uuid7

from app.settings import Settings
from app.silent_database import SERVER_LIMITS_S, give_up_silence

SQLITE_BUSY_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 5
# A machine that is gone says nothing: without these a connection to it is waited for a quarter of an hour.
LOST_PEER = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 30_000}
# Of one process; the threads that use them are 40.
KEPT_CONNECTIONS = 10
TRUSTED_S = 1.0
MAX_CONNECTIONS = 30
# How long work that is under way waits for a database: what it has done is worth more than its time.
OUTAGE_PATIENCE_S = 3600.0

# https://www.postgresql.org/docs/current/errcodes-appendix.html: no connection, ended by an operator, ended for its time-out.
# The driver has classes of their own for some of them, and may have read the words before it saw the connection close.
AWAY_STATES = ("08", "57P", "25P03", "25P04")

READ_ONLY = "farzi_read_only"

JsonObject = JSON().with_variant(JSONB(), "postgresql")


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC timestamp; SQLite, which has no time zones, stores it naive and gets it back aware."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("naive datetime given; use an aware one in UTC")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Base of all tables; constraint names are fixed so that migrations can drop them on every database."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def new_id(prefix: str) -> str:
    """Return a fresh public id, ``prefix_`` + UUIDv7 in hex: unique, and ordered by creation time."""
    return f"{prefix}_{uuid7().hex}"


def first_id_at(prefix: str, moment: datetime, *, skew: timedelta = timedelta(0)) -> str:
    """Return the least id that :func:`new_id` can have made at ``moment``, by a clock that is off by ``skew``."""
    # Counted in seconds: at an end of the calendar there is no time to add the skew to.
    milliseconds = max(0, min(int((moment.timestamp() + skew.total_seconds()) * 1000), 2**48 - 1))
    return f"{prefix}_{milliseconds:012x}"


def make_engine(settings: Settings, *, is_patient: bool = False) -> Engine:
    """Create the engine; on SQLite in WAL mode with foreign keys on and writers that wait for each other.

    On Postgres nothing is waited for longer than a few seconds, unless the engine is patient, as migrations need it.
    """
    url = settings.resolved_database_url
    if not url.startswith("sqlite"):
        options = {"connect_timeout": CONNECT_TIMEOUT_S, **LOST_PEER}
        overflow = MAX_CONNECTIONS - KEPT_CONNECTIONS
        engine = create_engine(
            url, pool_size=KEPT_CONNECTIONS, max_overflow=overflow, connect_args=options, hide_parameters=True
        )
        _hide_rows(engine)
        _ping_idle_connections(engine)
        # A process that freezes in the middle of a transaction must not keep a job's row locked for longer than its lease
        # lasts: whoever takes over passes locked rows by.
        limits_s = {"idle_in_transaction_session_timeout": settings.lease_s / 2}
        if not is_patient:
            give_up_silence(engine)
            limits_s |= SERVER_LIMITS_S
        _limit_sessions(engine, limits_s)
        return engine
    settings.resolved_data_dir.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_S}, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: object) -> None:
        # The driver's own transaction handling is switched off so that every transaction can begin as a writer: a reader that
        # turns writer meets SQLITE_BUSY at once, whatever the timeout.
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        read_only = connection.get_execution_options().get(READ_ONLY, False)
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine


def _hide_rows(engine: Engine) -> None:
    """Leave only the first line of the error of a broken constraint: the next ones show the row, which is not for a log."""

    @event.listens_for(engine, "handle_error")
    def _keep_first_line(context: ExceptionContext) -> None:
        error, wrapped = context.original_exception, context.sqlalchemy_exception
        if isinstance(wrapped, IntegrityError):
            for each in (error, wrapped):
                each.args = (str(each.args[0]).partition("\n")[0],)


def _ping_idle_connections(engine: Engine) -> None:
    """Look whether a connection still lives before it is used again, unless it was used a moment ago.

    SQLAlchemy's own ``pool_pre_ping`` asks every time: one more round trip for each transaction of a busy service, which no
    restart of a database is quick enough to need.
    """

    @event.listens_for(engine, "checkin")
    def _note(_connection: Any, record: ConnectionPoolEntry) -> None:
        record.info["used_at"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _ping(connection: Any, record: ConnectionPoolEntry, _proxy: Any) -> None:
        used_at = record.info.get("used_at")
        if used_at is None or time.monotonic() - used_at < TRUSTED_S:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError from error


def _limit_sessions(engine: Engine, limits_s: dict[str, float]) -> None:
    """Have the server end whatever takes longer: settings of a session by their names, in seconds."""
    statements = "; ".join(f"SET {name} = {round(seconds * 1000)}" for name, seconds in limits_s.items())

    @event.listens_for(engine, "connect")
    def _set_limits(connection: Any, _record: ConnectionPoolEntry) -> None:
        connection.execute(statements)
        connection.commit()


def attempts_while_away(patience_s: float, *, until: threading.Event | None = None) -> Retrying:
    """Return attempts at one transaction, for ``for attempt in ...: with attempt:``; one more while the database is away.

    A commit whose answer was lost is attempted again too: what is attempted must be harmless the second time. ``until`` ends
    the waiting when it is set, within five seconds.
    """
    return Retrying(
        retry=retry_if_exception(is_away),
        wait=wait_exponential(multiplier=0.1, max=5.0),
        # No wait for the event itself: a signal's handler may set it in this very thread.
        stop=stop_any(stop_after_delay(patience_s), stop_never if until is None else stop_when_event_set(until)),
        reraise=True,
    )


def is_away(error: BaseException) -> bool:
    """Whether the database did not answer, or ended the session: each with words of its own, but the connection is gone."""
    if isinstance(error, OperationalError) or (isinstance(error, DBAPIError) and error.connection_invalidated):
        return True
    state = getattr(error.orig if isinstance(error, DBAPIError) else error, "sqlstate", None)
    return str(state).startswith(AWAY_STATES)


def make_session_factory(engine: Engine) -> sessionmaker[Session]:
    return sessionmaker(engine, expire_on_commit=False)


def make_single_query_session_factory(engine: Engine) -> sessionmaker[Session]:
    """Sessions for one query that reads: on Postgres without a transaction around it, which would cost two round trips."""
    if engine.dialect.name == "sqlite":
        return make_reading_session_factory(engine)
    return sessionmaker(engine.execution_options(isolation_level="AUTOCOMMIT"), expire_on_commit=False)


def make_reading_session_factory(engine: Engine) -> sessionmaker[Session]:
    """Sessions that only read, each as of one moment, so that a job and its runs agree; on SQLite no writer is waited for."""
    options = {READ_ONLY: True} if engine.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
    return sessionmaker(engine.execution_options(**options), expire_on_commit=False)
