"""Where a command's words go: results to stdout, everything else to stderr, and in JSON where asked for."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON, and nothing else, on stdout.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no remarks.")]

# In a pipe nothing is cut or broken: a program reads it, or a log keeps it.
PIPE_WIDTH = 10_000


def make_console(*, stderr: bool = False) -> Console:
    """Return a console that takes no markup: what it prints comes from users and from the network."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False, width=None if stream.isatty() else PIPE_WIDTH)


class Output:
    """One command's output."""

    def __init__(self, *, as_json: bool = False, quiet: bool = False) -> None:
        self.as_json = as_json
        self.stdout = make_console()
        self.stderr = make_console(stderr=True)
        self.has_remarks = not quiet and (not as_json or self.stderr.is_terminal)

    def result(self, value: Any, render: Callable[[Console], object]) -> None:
        """Print the result: ``value`` as JSON, or what ``render`` prints for people."""
        if self.as_json:
            sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")
        else:
            render(self.stdout)

    def remark(self, text: str) -> None:
        """Say something that is not the result."""
        if self.has_remarks:
            self.stderr.print(text)

    def warn(self, text: str) -> None:
        """Say something that must be seen even when quiet."""
        self.stderr.print(text)


def record_table(values: Mapping[str, Any]) -> Table:
    """Return a table of names and values; values that are not known are left out."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in values.items():
        if value is not None:
            table.add_row(name, str(value))
    return table


def format_bytes(size: float | None) -> str:
    if size is None:
        return "-"
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def format_seconds(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
