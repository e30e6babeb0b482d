"""Act on signals from a thread: a handler runs in the middle of whatever the main thread does, and may meet a lock it holds."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Collection


def call_on_signal(numbers: Collection[signal.Signals], callback: Callable[[], None]) -> None:
    """Call ``callback`` from a thread each time one of these signals comes; to be called in the main thread, once.

    The handlers themselves do nothing. ``Event.set`` in a handler would wait for ever for the event's lock if the signal came
    while the main thread was waiting for that event, or was setting it for a signal just before.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.detach(), warn_on_full_buffer=False)
    for number in numbers:
        signal.signal(number, lambda _number, _frame: None)

    def watch() -> None:
        while True:
            for number in reader.recv(64):
                if number in numbers:
                    callback()

    threading.Thread(target=watch, name="signal-watch", daemon=True).start()
