"""What differs between a client that blocks and one that awaits: the one module that is written twice.

This one is for asyncio. Work that blocks (files, digests) goes to threads, so that the event loop never waits for a disk.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")
Attempt = Callable[[], Awaitable[T]]
Each = Callable[[T], Awaitable[None]]

CLEANUP_S = 10.0
_NOTHING = object()


async def sleep(seconds: float) -> None:
    await asyncio.sleep(seconds)


async def in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """Call what blocks."""
    return await asyncio.to_thread(function, *arguments)


async def call(callback: Callable[..., object], *arguments: Any) -> None:
    """Call a user's callback, and await what it returns where that is to be awaited."""
    answer = callback(*arguments)
    if inspect.isawaitable(answer):
        await answer


async def iterate(items: Iterator[T]) -> AsyncIterator[T]:
    """Yield what a blocking iterator yields."""
    while (item := await asyncio.to_thread(next, items, _NOTHING)) is not _NOTHING:
        yield item  # type: ignore[misc]  # the sentinel is not yielded


async def for_each(function: Each[T], items: Iterable[T], *, limit: int) -> None:
    """Call ``function`` with every item, ``limit`` at a time; the first error stops the rest and comes out."""
    room = asyncio.Semaphore(limit)

    async def one(item: T) -> None:
        async with room:
            await function(item)

    tasks = [asyncio.create_task(one(item)) for item in items]
    try:
        for done in asyncio.as_completed(tasks):
            await done
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def clean_up(action: Attempt[None]) -> None:
    """See a last action through though the task it is of was cancelled, for some seconds at most."""
    task = asyncio.ensure_future(action())
    try:
        await asyncio.wait({task}, timeout=CLEANUP_S)
        if task.done():
            task.result()
    finally:
        task.cancel()


class Repeating:
    """Calls a function every so often while a block runs; its error comes out at the end of the block."""

    def __init__(self, function: Attempt[None], *, every_s: float) -> None:
        self._function, self._every_s = function, every_s
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._repeat())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        (outcome,) = await asyncio.gather(self._task, return_exceptions=True)
        if error is None and isinstance(outcome, Exception):
            raise outcome

    async def _repeat(self) -> None:
        while True:
            await self._function()
            await asyncio.sleep(self._every_s)
