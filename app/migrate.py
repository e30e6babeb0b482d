"""Bring the database's tables up to this version; the migrations are a package of the distribution."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError, ProgrammingError

import migrations
from app.db import make_engine
from app.settings import Settings, SettingsError, load_settings
from app.tenant_wall import ROLE

LOCK_ID = 0x6661727A69  # "farzi"


class DatabaseError(Exception):
    """The database cannot be used as it is; the message says what to do."""


def main() -> int:
    """Upgrade the database of the environment and return an exit code."""
    try:
        settings = load_settings()
        upgrade(settings)
    except (SettingsError, DatabaseError) as error:
        sys.stderr.write(f"{error}\n")
        return 2 if isinstance(error, SettingsError) else 3
    sys.stderr.write(f"The database is at revision {head_revision()}.\n")
    return 0


def upgrade(settings: Settings) -> None:
    """Run the migrations that are missing; several processes may try at once."""
    engine = make_engine(settings, is_patient=True)
    try:
        with _reachable(settings), engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": LOCK_ID})
            command.upgrade(make_config(connection), "head")
    finally:
        engine.dispose()


def prepare(settings: Settings) -> None:
    """Make sure that the tables fit this version: SQLite is upgraded, Postgres only looked at.

    Raises:
        DatabaseError: it is behind, or cannot be reached.
    """
    if settings.resolved_database_url.startswith("sqlite"):
        upgrade(settings)
        return
    engine = make_engine(settings)
    try:
        with _reachable(settings):
            current = is_current(engine)
    finally:
        engine.dispose()
    if not current:
        raise DatabaseError("FARZI_DATABASE_URL: the database's tables are not those of this version; run 'farzi db upgrade'.")


def is_current(engine: Engine) -> bool:
    """Whether every migration has been run."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision() == head_revision()


def head_revision() -> str:
    head = ScriptDirectory.from_config(make_config()).get_current_head()
    assert head is not None
    return head


def make_config(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration, for commands on an open connection."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


@contextmanager
def _reachable(settings: Settings) -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        name = "FARZI_DATABASE_URL" if settings.database_url else "FARZI_DATA_DIR"
        reason = str(error.orig).strip().partition("\n")[0]
        raise DatabaseError(f"{name}: the database cannot be used: {reason}") from error
    except ProgrammingError as error:
        if not isinstance(error.orig, InsufficientPrivilege):
            raise
        reason = str(error.orig).partition("\n")[0]
        raise DatabaseError(
            f"FARZI_DATABASE_URL: {reason}; let an administrator run 'CREATE ROLE {ROLE} NOLOGIN; GRANT {ROLE} TO' with the "
            "URL's user, who has to own the tables, and upgrade again"
        ) from error


if __name__ == "__main__":
    sys.exit(main())
