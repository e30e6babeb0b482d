"""An asynchronous client that can be called like a blocking one: every test of one client is a test of both."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, cast

from farzi_client import AsyncClient, Client


class Blocking:
    """Sees what it wraps through an event loop: coroutines are run, asynchronous iterators become iterators."""

    def __init__(self, wrapped: object, runner: asyncio.Runner) -> None:
        self._wrapped, self._runner = wrapped, runner

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._wrapped, name)
        if callable(value):
            return functools.partial(self._call, value)
        return Blocking(value, self._runner) if type(value).__module__.startswith("farzi_client._async") else value

    def _call(self, function: Any, *arguments: Any, **options: Any) -> Any:
        answer = function(*arguments, **options)
        if inspect.iscoroutine(answer):
            answer = self._runner.run(answer)
        return self._iterate(answer) if isinstance(answer, AsyncIterator) else answer

    def _iterate(self, items: AsyncIterator[Any]) -> Iterator[Any]:
        async def take() -> list[Any]:
            async for item in items:
                return [item]
            return []

        while taken := self._runner.run(take()):
            yield taken[0]


@contextmanager
def connect(kind: str, api_key: str, base_url: str, **options: Any) -> Iterator[Client]:
    """Return a client of a kind, ``sync`` or ``async``, that blocks."""
    if kind == "sync":
        with Client(api_key, base_url=base_url, **options) as client:
            yield client
        return
    with asyncio.Runner() as runner:
        asynchronous = AsyncClient(api_key, base_url=base_url, **options)
        yield cast(Client, Blocking(asynchronous, runner))
        runner.run(asynchronous.close())
