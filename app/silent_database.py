"""Give up a Postgres that takes a statement and says nothing: one that is stopped, or whose disk hangs, keeps its connections.

The kernel of such a server acknowledges every byte, so no time-out of TCP ever comes; the driver by itself waits for ever. What
is only slow is ended by the server, in good order and a little earlier.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg
from sqlalchemy import Engine, event

# Queries of the service take milliseconds; locks are held for as long as a transaction takes.
SERVER_LIMITS_S = {"statement_timeout": 15.0, "lock_timeout": 10.0}
SILENCE_S = 20.0

R = TypeVar("R")


class AnsweringConnection(psycopg.Connection[Any]):
    """A connection that is closed when the server says nothing for ``SILENCE_S`` while it is waited for."""

    def wait(self, gen: Generator[Any, Any, R], *arguments: Any, **options: Any) -> R:
        try:
            return super().wait(_while_it_speaks(gen, SILENCE_S), *arguments, **options)
        except _SilenceError as error:
            self.pgconn.finish()
            raise psycopg.OperationalError(str(error)) from None


def give_up_silence(engine: Engine) -> None:
    """Let every connection of ``engine`` be one that is given up."""

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: Any, _record: Any, arguments: Any, options: Any) -> Any:
        return AnsweringConnection.connect(*arguments, **options)


class _SilenceError(Exception):
    """Nothing came for too long."""


def _while_it_speaks(gen: Generator[Any, Any, R], longest_s: float) -> Generator[Any, Any, R]:
    """Pass on what ``gen`` waits for and what it is told, until it was told for ``longest_s`` on end that nothing came."""
    try:
        wanted = next(gen)
        spoke_at = time.monotonic()
        while True:
            ready = yield wanted
            if ready:
                spoke_at = time.monotonic()
            elif time.monotonic() - spoke_at > longest_s:
                raise _SilenceError(f"the database said nothing for {longest_s:g} s")
            wanted = gen.send(ready)
    except StopIteration as end:
        result: R = end.value
        return result
