"""What a signal calls never waits for what the main thread holds at that moment."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import os, signal, threading, time
from worker.signals import call_on_signal
lock, called = threading.Lock(), []
def callback():
    with lock:
        called.append(threading.current_thread() is threading.main_thread())
call_on_signal((signal.SIGTERM,), callback)
for _ in range(2):
    with lock:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)  # a handler would wait here for ever
signal.signal(signal.SIGUSR1, lambda *_: None)
os.kill(os.getpid(), signal.SIGUSR1)
while len(called) < 2:
    time.sleep(0.01)
print(called)
"""


def test_the_main_thread_may_hold_the_lock_that_the_callback_needs() -> None:
    output = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True, timeout=60).stdout
    assert output == "[False, False]\n"
