"""Ctrl-C: nothing is asked, what goes on in the service goes on, and a sentence says how to come back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from farzi_client.cli.failures import EXIT_INTERRUPTED
from farzi_client.cli.output import Output


@contextmanager
def leaving_says(output: Output, text: str) -> Iterator[None]:
    """Say ``text`` when the block is left with Ctrl-C.

    Raises:
        typer.Exit: it was.
    """
    try:
        yield
    except KeyboardInterrupt:
        output.warn(text)
        raise typer.Exit(EXIT_INTERRUPTED) from None
