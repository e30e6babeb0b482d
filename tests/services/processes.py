"""Start a server of the test session, wait until it answers, stop it by its process id."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

REQUIRE_SERVICES = "FARZI_REQUIRE_SERVICES"
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0


def service_missing(reason: str) -> NoReturn:
    """Skip where a service cannot be had; fail where the environment says that it must be there, as the CI's does."""
    if os.environ.get(REQUIRE_SERVICES) == "1":
        pytest.fail(f"{reason} ({REQUIRE_SERVICES}=1)")
    pytest.skip(reason)


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on, all different because all are held until the last is known."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [int(item.getsockname()[1]) for item in sockets]
    finally:
        for item in sockets:
            item.close()


@contextmanager
def running_server(
    command: list[str], log: Path, is_ready: Callable[[], bool], *, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``command`` until the block ends; its output goes to ``log``, which is shown if it does not become ready."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={**os.environ, **(environment or {})}
        )
    try:
        _wait_until_ready(process, log, is_ready)
        yield process
    finally:
        _stop(process)


def _wait_until_ready(process: subprocess.Popen[bytes], log: Path, is_ready: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + START_TIMEOUT_S
    while not is_ready():
        if process.poll() is not None or time.monotonic() > give_up_at:
            state = "ended" if process.poll() is not None else "not ready"
            pytest.fail(f"server {state}: {process.args!r}\n{log.read_text(errors='replace')[-4000:]}")
        time.sleep(0.05)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def is_running(pid: int) -> bool:
    """Whether the process exists; one that has ended and waits for its parent to notice does not count."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return not status.parents[1].exists()
