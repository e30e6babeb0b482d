"""What differs between a client that blocks and one that awaits: the one module that is written twice.

This one blocks, and uses threads for what happens at the same time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")
Attempt = Callable[[], T]
Each = Callable[[T], None]

LEAVING_S = 1.0


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """Call what blocks."""
    return function(*arguments)


def call(callback: Callable[..., object], *arguments: Any) -> None:
    """Call a user's callback."""
    callback(*arguments)


def iterate(items: Iterator[T]) -> Iterator[T]:
    """Yield what a blocking iterator yields."""
    return items


def for_each(function: Each[T], items: Iterable[T], *, limit: int) -> None:
    """Call ``function`` with every item, ``limit`` at a time; the first error stops the rest and comes out."""
    with ThreadPoolExecutor(limit, thread_name_prefix="farzi") as pool:
        waiting = [pool.submit(function, item) for item in items]
        try:
            for done in as_completed(waiting):
                done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def clean_up(action: Attempt[None]) -> None:
    """See a last action through."""
    action()


class Repeating:
    """Calls a function every so often, on its own thread, while a block runs; its error comes out at the end of the block."""

    def __init__(self, function: Attempt[None], *, every_s: float) -> None:
        self._function, self._every_s = function, every_s
        self._stopped = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._repeat, name="farzi-repeating", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stopped.set()
        # Whoever leaves early is not kept waiting for an answer that may never come.
        self._thread.join(None if error is None else LEAVING_S)
        if self._failure is not None and error is None:
            raise self._failure

    def _repeat(self) -> None:
        while not self._stopped.is_set():
            try:
                self._function()
            except Exception as failure:
                if not self._stopped.is_set():
                    self._failure = failure
                return
            self._stopped.wait(self._every_s)
