"""What Postgres plans for the queries of a test, and rows enough that reading all of them would look bad in a plan."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Table, event, text
from sqlalchemy.orm import Session

from app.services import Services


@contextmanager
def plans(services: Services) -> Iterator[list[str]]:
    """Collect the plan of every query until the block ends."""
    found: list[str] = []

    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "WITH")):
            with connection.connection.cursor() as other:
                other.execute(f"EXPLAIN {statement}", parameters)
                found.append("\n".join(row[0] for row in other.fetchall()))

    event.listen(services.engine, "before_cursor_execute", explain)
    try:
        yield found
    finally:
        event.remove(services.engine, "before_cursor_execute", explain)


def multiply(session: Session, table: Any, where: str, num_rows: int, **changed: str) -> None:
    """Add copies of the one row that ``where`` describes, with some columns as SQL says them of the copy's number ``n``."""
    assert isinstance(table, Table)
    rest = [f'"{column.name}"' for column in table.columns if column.name not in changed]
    names = ", ".join([*(f'"{name}"' for name in changed), *rest])
    values = ", ".join([*changed.values(), *rest])
    copies = f"SELECT {values} FROM {table.name}, generate_series(1, {num_rows}) n WHERE {where}"
    session.execute(text(f"INSERT INTO {table.name} ({names}) {copies}"))


def analyze(services: Services) -> None:
    """Let the planner know how many rows there are."""
    with services.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
