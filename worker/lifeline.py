"""End a process with the one that started it, even if that one was killed and could say nothing."""

from __future__ import annotations

import os
import signal
import sys
import threading


def die_with_standard_input() -> None:
    """End this process's group as soon as its standard input ends: the other side of the pipe is gone."""

    def watch() -> None:
        while os.read(descriptor, 4096):
            pass
        os.killpg(os.getpgrp(), signal.SIGKILL)

    descriptor = os.dup(sys.stdin.fileno())
    threading.Thread(target=watch, name="lifeline", daemon=True).start()
