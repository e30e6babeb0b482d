"""A child process that is started again when it dies, until it is told to stop."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence

import structlog

RESTART_WAIT_S = 2.0
PARENT_POLL_S = 0.5

logger = structlog.get_logger(__name__)


class KeptProcess:
    """Keeps ``python -m MODULE --parent-pid PID ...`` running.

    Args:
        name: what log lines call it.
        environment: variables beside this process's own.
        patience_s: how long it may take to stop before it is killed.
        pass_fds: file descriptors that it inherits.
        after_end: called with its process id each time it has ended.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        environment: dict[str, str],
        patience_s: float,
        *,
        pass_fds: Sequence[int] = (),
        after_end: Callable[[int], None] = lambda _pid: None,
    ) -> None:
        self._name = name
        self._arguments = arguments
        self._environment = {**os.environ, **environment}
        self._patience_s = patience_s
        self._pass_fds = pass_fds
        self._after_end = after_end
        self._stopping = threading.Event()
        self._process = self._start()
        self._thread = threading.Thread(target=self._keep, name=f"{name}-keeper", daemon=True)
        self._thread.start()

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs, which it soon does again."""
        return self._process.poll()

    def ask_to_stop(self) -> None:
        """Start it no more, and ask the one that runs to end; once, however often this is called."""
        if not self._stopping.is_set():
            self._stopping.set()
            self._process.terminate()

    def stop(self) -> None:
        """Let it end in good order, or kill it when its time is up."""
        self.ask_to_stop()
        self._thread.join(self._patience_s)
        if self._process.poll() is None:
            logger.warning("a process did not stop in time and is killed", process=self._name)
            self._process.kill()
            self._process.wait()

    def _keep(self) -> None:
        while True:
            exit_code = self._process.wait()
            self._after_end(self._process.pid)
            if self._stopping.wait(RESTART_WAIT_S):
                return
            logger.error("a process ended and is started again", process=self._name, exit_code=exit_code)
            self._process = self._start()
            if self._stopping.is_set():  # stop() may have terminated the one before
                self._process.terminate()

    def _start(self) -> subprocess.Popen[bytes]:
        # A session of its own: Ctrl-C is for the server, which then stops its children in good order.
        # It is told who started it: by the time it looks, a killed server would have left it to another parent.
        command = [sys.executable, "-m", *self._arguments, "--parent-pid", str(os.getpid())]
        return subprocess.Popen(  # noqa: S603
            command, env=self._environment, stdin=subprocess.DEVNULL, start_new_session=True, pass_fds=self._pass_fds
        )


def call_when_orphaned(parent: int, callback: Callable[[], None]) -> None:
    """Call ``callback`` once, from a thread, when process ``parent`` is not this one's parent: it has ended, maybe long ago."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_POLL_S)
        callback()

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
