"""Start the real commands as processes of their own, the way a user does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

FARZI = str(Path(sys.executable).with_name("farzi"))
READY_WITHIN_S = 30.0
STOP_WITHIN_S = 45.0
SILENCED = {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}


def farzi_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """The surrounding environment without its own Farzi settings, plus ``settings``."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FARZI_")}
    return {**inherited, **SILENCED, **settings}


@contextmanager
def farzi_process(arguments: Sequence[str], settings: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``farzi`` with ``arguments``; at the end ask it to stop, and insist."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [FARZI, *arguments], env=farzi_environment(settings), stdout=output, stderr=output, start_new_session=True
        )
        try:
            yield process
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise AssertionError(f"process {process.pid} did not stop within {STOP_WITHIN_S} s of SIGTERM") from None


def wait_until_ready(base_url: str, process: subprocess.Popen[bytes], log: Path) -> float:
    """Wait for ``/readyz`` and return the seconds it took."""
    started = time.monotonic()
    while time.monotonic() - started < READY_WITHIN_S:
        assert process.poll() is None, f"the server ended with {process.returncode}:\n{log.read_text()}"
        try:
            if httpx.get(f"{base_url}/readyz", timeout=5).status_code == 200:
                return time.monotonic() - started
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"not ready within {READY_WITHIN_S} s:\n{log.read_text()}")


def run_farzi(arguments: Sequence[str], settings: Mapping[str, str]) -> int:
    """Run ``farzi`` to its end and return the exit code."""
    return subprocess.run([FARZI, *arguments], env=farzi_environment(settings), check=False, timeout=120).returncode
