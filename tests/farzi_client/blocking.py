"""An asynchronous client that can be called like a blocking one: every test of one client is a test of both.

Event loops run in threads of their own: what another test left in this one, a loop of Playwright's for example, is no matter.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from anyio.from_thread import BlockingPortal, start_blocking_portal

from farzi_client import AsyncClient, Client

T = TypeVar("T")


def in_own_thread(function: Callable[..., T], *arguments: Any) -> T:
    """Call ``function``, ``asyncio.run`` for example, in a thread that nothing has run in before."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *arguments).result()


class Blocking:
    """Sees what it wraps through an event loop: coroutines are run, asynchronous iterators become iterators."""

    def __init__(self, wrapped: object, portal: BlockingPortal) -> None:
        self._wrapped, self._portal = wrapped, portal

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._wrapped, name)
        if callable(value):
            return functools.partial(self._call, value)
        return Blocking(value, self._portal) if type(value).__module__.startswith("farzi_client._async") else value

    def _call(self, function: Any, *arguments: Any, **options: Any) -> Any:
        answer = self._portal.call(functools.partial(function, *arguments, **options))
        return self._iterate(answer) if isinstance(answer, AsyncIterator) else answer

    def _iterate(self, items: AsyncIterator[Any]) -> Iterator[Any]:
        async def take() -> list[Any]:
            async for item in items:
                return [item]
            return []

        while taken := self._portal.call(take):
            yield taken[0]


@contextmanager
def connect(kind: str, api_key: str, base_url: str, **options: Any) -> Iterator[Client]:
    """Return a client of a kind, ``sync`` or ``async``, that blocks."""
    if kind == "sync":
        with Client(api_key, base_url=base_url, **options) as client:
            yield client
        return
    asynchronous = AsyncClient(api_key, base_url=base_url, **options)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(asynchronous):
        yield cast(Client, Blocking(asynchronous, portal))
