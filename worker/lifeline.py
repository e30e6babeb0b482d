"""End a process with the one that started it, even if that one was killed and could say nothing.

The end of a pipe works everywhere, but a process that is stopped does not read it; the kernel's signal reaches that one too.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_standard_input() -> None:
    """End this process's group as soon as its standard input ends: the other side of the pipe is gone.

    On Linux the kernel is asked for a SIGKILL as well, at the end of the *thread* that started this process: supervisors start
    runs from threads that live as long as they do.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    def watch() -> None:
        while os.read(descriptor, 4096):
            pass
        os.killpg(os.getpgrp(), signal.SIGKILL)

    descriptor = os.dup(sys.stdin.fileno())
    threading.Thread(target=watch, name="lifeline", daemon=True).start()
