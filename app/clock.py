"""The one clock of the service: the database's, so that machines with different clocks agree about leases."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Float, func, text
from sqlalchemy.orm import Session


def now_expression(session: Session) -> ColumnElement[datetime] | None:
    """Return the database's time as a column of a query that is made anyway; None where the machine's clock is it."""
    return None if session.get_bind().dialect.name == "sqlite" else func.clock_timestamp()


def database_now(session: Session) -> datetime:
    """Return the database's time as an aware UTC datetime; on SQLite the machine's, which every process shares."""
    if session.get_bind().dialect.name == "sqlite":
        return datetime.now(UTC)
    now = session.scalar(text("SELECT clock_timestamp()"))
    assert isinstance(now, datetime)
    return now.astimezone(UTC)


def elapsed_s(session: Session, start: ColumnElement[datetime], end: ColumnElement[datetime]) -> ColumnElement[float]:
    """Return the seconds from ``start`` to ``end`` as an expression of the database."""
    if session.get_bind().dialect.name == "sqlite":
        return ((func.julianday(end) - func.julianday(start)) * 86400.0).cast(Float)
    return func.extract("epoch", end - start).cast(Float)
