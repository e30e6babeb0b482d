"""Run the command on a terminal of a given width, as a person does: what it shows, and what keys do."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from typing import Self

CTRL_C = b"\x03"
# Whoever runs the tests in the background of a shell ignores Ctrl-C, and what they start would too.
COMMAND = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from farzi_client.cli import main
main()
"""
PATIENCE_S = 120.0
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Terminal:
    """A command on a terminal of its own; it is over when the block ends."""

    def __init__(self, *arguments: str, width: int) -> None:
        self._own, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
        # Whoever leads a session and opens a terminal first gets its keys.
        command = ["sh", "-c", 'exec "$@" <"$0" >"$0" 2>&1', os.ttyname(other)]
        environment = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES", "NO_COLOR"}}
        self._process = subprocess.Popen(
            [*command, sys.executable, "-c", COMMAND, *arguments],
            env={**environment, "TERM": "xterm"},
            start_new_session=True,
        )
        self._other = other  # stays open, or there would be no terminal before the command has opened it
        self._shown = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for end in (self._own, self._other):
            os.close(end)

    @property
    def text(self) -> str:
        """What it has shown so far."""
        return plain(self._shown.decode(errors="replace")).replace("\r\n", "\n")

    @property
    def lines(self) -> list[str]:
        """Lines as they were drawn, those that were drawn over included."""
        return [line.rstrip() for line in re.split(r"[\r\n]+", self.text) if line.strip()]

    def wait_for(self, is_there: Callable[[str], bool]) -> None:
        """Read until what is shown is enough."""
        give_up_at = time.monotonic() + PATIENCE_S
        while not is_there(self.text):
            assert time.monotonic() < give_up_at, f"not shown:\n{self.text}"
            assert self._read(), f"ended before:\n{self.text}"

    def press(self, key: bytes) -> None:
        os.write(self._own, key)

    def end(self) -> int:
        """Read to the end, and return the exit code."""
        give_up_at = time.monotonic() + PATIENCE_S
        while self._read():
            assert time.monotonic() < give_up_at, f"does not end:\n{self.text}"
        return self._process.wait()

    def _read(self) -> bool:
        """Read what there is; whether there is more to come."""
        is_over = self._process.poll() is not None
        ready, _, _ = select.select([self._own], [], [], 0.0 if is_over else 0.2)
        if ready:
            self._shown += os.read(self._own, 65536)
        return bool(ready) or not is_over


def plain(text: str) -> str:
    """Return text without colours and movements."""
    return _ESCAPE.sub("", text)


def run_on_terminal(*arguments: str, width: int) -> tuple[int, Terminal]:
    with Terminal(*arguments, width=width) as terminal:
        return terminal.end(), terminal
