"""Signs of life of a run: bytes through a pipe to its supervisor, from a thread that beats while there is something to say.

A process that is stopped, or that never lets go of the interpreter, is silent at once; one whose work makes no step falls
silent when its owner says so. Either way the supervisor sees the same, and ends it.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable

PULSE_VARIABLE = "FARZI_PULSE_FD"
BEAT_S = 1.0
# A supervisor that was itself stopped, with its whole machine perhaps, heard nothing because it did not listen.
LONGEST_UNHEARD_S = 5.0


class Pulse:
    """The supervisor's side of the pipe."""

    def __init__(self) -> None:
        self._reader, self.child_end = os.pipe()
        os.set_blocking(self._reader, False)
        self._silent_s = 0.0
        self._listened_at = time.monotonic()

    def leave_child_end(self) -> None:
        """Let go of the end that the run has inherited."""
        os.close(self.child_end)

    def silent_s(self) -> float:
        """Return the seconds since the last beat, or since the start, of those in which somebody listened."""
        now = time.monotonic()
        self._silent_s += min(now - self._listened_at, LONGEST_UNHEARD_S)
        self._listened_at = now
        with contextlib.suppress(BlockingIOError):
            while os.read(self._reader, 4096):
                self._silent_s = 0.0
        return self._silent_s

    def close(self) -> None:
        os.close(self._reader)


def beat_while(is_well: Callable[[], bool], *, asleep_s: float, on_waking: Callable[[], None]) -> None:
    """Beat from a thread as long as ``is_well()``; nothing happens in a process that nobody listens to.

    ``on_waking`` is called, in a thread of its own, when nothing of this process has run for ``asleep_s`` seconds.
    """
    given = os.environ.get(PULSE_VARIABLE)
    if given is None:
        return
    pipe = int(given)
    os.set_blocking(pipe, False)

    def beat() -> None:
        beat_at = time.monotonic()
        while True:
            last_at, beat_at = beat_at, time.monotonic()
            if beat_at - last_at > asleep_s:
                threading.Thread(target=on_waking, name="waking", daemon=True).start()
            if is_well():
                with contextlib.suppress(BlockingIOError):
                    os.write(pipe, b".")
            time.sleep(BEAT_S)

    threading.Thread(target=beat, name="pulse", daemon=True).start()
