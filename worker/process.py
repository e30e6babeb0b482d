"""One run as an operating-system process: started fresh, in a group of its own, and gone when whoever started it is gone.

Its standard input is a pipe that nobody writes to: it ends when the supervisor does, however that happens (`lifeline.py`).
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from enum import IntEnum

from worker.pulse import PULSE_VARIABLE, Pulse

logger = logging.getLogger(__name__)

TAIL_LINES = 40
TAIL_LINE_CHARACTERS = 500
READER_PATIENCE_S = 2.0


class ExitCode(IntEnum):
    """What a run says with its exit code; every other code is a crash."""

    REPORTED = 0  # the end is in the database
    INTERNAL_ERROR = 70
    STOPPED = 75  # as it was told to; the work so far is in a checkpoint
    LEASE_LOST = 76  # the job is not this run's any more
    STORAGE_UNAVAILABLE = 69  # the same run may succeed when the object store is back


class RunProcess:
    """A started run.

    Raises:
        OSError: the machine has no room for another process; nothing is left of the attempt.
        RuntimeError: the same, for a thread.
    """

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._pulse = Pulse()
        try:
            self._process = subprocess.Popen(  # noqa: S603  our own interpreter, and ids that the database made
                [sys.executable, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment, PULSE_VARIABLE: str(self._pulse.child_end)},
                start_new_session=True,
                pass_fds=(self._pulse.child_end,),
            )
        except BaseException:
            self._pulse.leave_child_end()
            self._pulse.close()
            raise
        self._pulse.leave_child_end()
        try:
            self._reader = self._start_reader()
        except BaseException:
            self.signal_group(signal.SIGKILL)
            self._process.wait()
            self._close_pipes()
            raise

    def _start_reader(self) -> threading.Thread:
        # The reader's lines name the request and the job that this thread works for.
        context = contextvars.copy_context()
        name = f"output-of-{self.pid}"
        reader = threading.Thread(target=context.run, args=(self._forward_output,), name=name, daemon=True)
        reader.start()
        return reader

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def tail(self) -> list[str]:
        """Last lines of what the run wrote to its standard streams."""
        return list(self._tail)

    def wait(self, timeout_s: float) -> int | None:
        """Return the exit code (negative: the signal that ended it), or None if the run still goes on after ``timeout_s``."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    @property
    def silent_s(self) -> float:
        """Seconds since the run's last sign of life."""
        return self._pulse.silent_s()

    def signal_group(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def end(self, patience_s: float) -> int:
        """Wait ``patience_s`` for the run to end, then end it; return the exit code."""
        exit_code = self.wait(patience_s)
        if exit_code is None:
            self.signal_group(signal.SIGKILL)
            exit_code = self._process.wait()
        return exit_code

    def close(self) -> None:
        """End whatever is left of the group and let go of its pipes."""
        self.signal_group(signal.SIGKILL)
        self._process.wait()
        self._reader.join(READER_PATIENCE_S)
        self._close_pipes()

    def _close_pipes(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._pulse.close()

    def _forward_output(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                text = line.decode(errors="replace").replace("\0", "").rstrip()  # Postgres stores no NUL
                self._tail.append(text[:TAIL_LINE_CHARACTERS])
                logger.info("run %s says: %s", self.pid, text)
