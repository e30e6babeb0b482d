"""The last words of a run, for the owner of its job: what went wrong, without where the service keeps its files and servers.

A traceback is left to the service's own log; of it only the exception stays, type and message.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from worker.process import TAIL_LINE_CHARACTERS, TAIL_LINES

_TRACEBACK = "Traceback (most recent call last):"
# How chained tracebacks are joined, and what SQLAlchemy adds to a message.
_DROPPED = (
    "During handling of the above exception",
    "The above exception was the direct cause",
    "[SQL:",
    "[parameters:",
    "(Background on this error",
)
_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
_PATH = re.compile(r"(?<![\w/.])/(?:[\w.@+~-]+/)*[\w.@+~-]+/?")
_ADDRESS = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b")


LINE_FORMAT = "%(levelname)s %(name)s: %(message)s"


class LastWords(logging.Handler):
    """Keeps the last lines that a run has logged, for a run that itself writes down how it ended."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter(LINE_FORMAT))
        self._lines: deque[str] = deque(maxlen=TAIL_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.extend(line[:TAIL_LINE_CHARACTERS].replace("\0", "") for line in self.format(record).splitlines())

    @property
    def lines(self) -> list[str]:
        """What the owner may see of them."""
        return clean_tail(list(self._lines))


@contextmanager
def keeping_last_words() -> Iterator[LastWords]:
    """Keep what this process logs until the block ends."""
    last_words, root = LastWords(), logging.getLogger()
    root.addHandler(last_words)
    try:
        yield last_words
    finally:
        root.removeHandler(last_words)


def clean_tail(lines: Iterable[str]) -> list[str]:
    """Return what the owner may see of the lines that a run wrote last."""
    return [_hide_places(line) for line in _without_tracebacks(lines) if line.strip()]


def _without_tracebacks(lines: Iterable[str]) -> Iterator[str]:
    # The tail may begin in the middle of one: its frames are indented, as nothing else is.
    for line in lines:
        text = line.lstrip(" |+-")
        is_frame = line.startswith((" ", "\t")) and not line.strip().startswith(_TRACEBACK)
        if text.startswith((_TRACEBACK, *_DROPPED)) or is_frame:
            continue
        yield line


def _hide_places(line: str) -> str:
    return _ADDRESS.sub("<address>", _PATH.sub("<path>", _URL.sub("<url>", line)))
