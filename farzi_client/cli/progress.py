"""Progress of what takes longer than a second: a bar on a terminal, a line now and then in a log, nothing when quiet."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.table import Column

from farzi_client.cli.output import Output

SECONDS_BETWEEN_LINES = 10.0
# On narrower terminals the words and the share alone: of a job the words say most.
BAR_WIDTH, ROOM_FOR_BAR, ROOM_FOR_WORDS_AND_BAR, ROOM_FOR_RATE = 24, 70, 98, 90


class Bar(Protocol):
    """What a command tells about its progress."""

    def update(self, done: float, total: float | None, text: str | None = None) -> None:
        """Say that ``done`` of ``total`` is done (None: nobody knows how much there is); ``text`` replaces the description."""

    def remark(self, text: str) -> None:
        """Print a line that stays."""


class TerminalBar:
    """A bar at the bottom of a terminal."""

    def __init__(self, progress: Progress, text: str) -> None:
        self._progress = progress
        self._task = progress.add_task(text, total=None)

    def update(self, done: float, total: float | None, text: str | None = None) -> None:
        self._progress.update(self._task, completed=done, total=total, description=text)

    def remark(self, text: str) -> None:
        self._progress.console.print(text)


class LogLines:
    """Lines for a log: the first, the last and one every ten seconds; none when the command is to be quiet."""

    def __init__(self, output: Output, text: str) -> None:
        self._output, self._text = output, text
        self._printed_at, self._finished = -SECONDS_BETWEEN_LINES, False

    def update(self, done: float, total: float | None, text: str | None = None) -> None:
        self._finished = self._finished and text in {None, self._text}
        self._text = text or self._text
        finished = total is not None and done >= total
        is_due = time.monotonic() - self._printed_at >= SECONDS_BETWEEN_LINES
        if (is_due or finished) and not self._finished:
            share = f": {100 * done / total:.0f} %" if total else " ..."
            self._output.remark(f"{self._text}{share}")
            self._printed_at = time.monotonic()
        self._finished = finished

    def remark(self, text: str) -> None:
        self._output.remark(text)


@contextmanager
def progress_bar(output: Output, text: str, *, of_bytes: bool = False) -> Iterator[Bar]:
    """Show progress on stderr until the block ends; of bytes also how many, and how fast they come."""
    if output.has_remarks and output.stderr.is_terminal:
        columns = _columns(output.stderr.width, of_bytes=of_bytes)
        with Progress(*columns, console=output.stderr, transient=True, expand=True) as progress:
            yield TerminalBar(progress, text)
    else:
        yield LogLines(output, text)


def _columns(width: int, *, of_bytes: bool) -> tuple[ProgressColumn, ...]:
    """Return what there is room for; the words are cut before the line breaks."""
    words = TextColumn("{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"))
    columns: list[ProgressColumn] = [SpinnerColumn(), words]
    if width >= (ROOM_FOR_BAR if of_bytes else ROOM_FOR_WORDS_AND_BAR):
        columns.append(BarColumn(bar_width=BAR_WIDTH))
    columns.append(TaskProgressColumn())
    if width >= ROOM_FOR_RATE and of_bytes:
        columns += [DownloadColumn(), TransferSpeedColumn()]
    if width >= ROOM_FOR_BAR:
        columns.append(TimeElapsedColumn())
    return tuple(columns)
