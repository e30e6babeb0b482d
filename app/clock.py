"""The one clock of the service: the database's, so that machines with different clocks agree about leases."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import text
from sqlalchemy.orm import Session


def database_now(session: Session) -> datetime:
    """Return the database's time as an aware UTC datetime; on SQLite the machine's, which every process shares."""
    if session.get_bind().dialect.name == "sqlite":
        return datetime.now(UTC)
    now = session.scalar(text("SELECT clock_timestamp()"))
    assert isinstance(now, datetime)
    return now.astimezone(UTC)
