"""A service of the demo's own: embedded, on a free port, in a directory that goes away with it."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from farzi_client.cli.failures import CommandFailed

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 45.0
LOG_TAIL_LINES = 25


@dataclass(frozen=True)
class RunningService:
    """Where the service is, the key it takes, and the process that serves."""

    address_file: Path
    api_key: str
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def base_url(self) -> str:
        return self.address_file.read_text(encoding="utf-8")

    def log_tail(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-LOG_TAIL_LINES:])


@contextmanager
def running_service(directory: Path) -> Iterator[RunningService]:
    """Run ``farzi serve`` until the block ends; it keeps its data and its log in ``directory``.

    Raises:
        CommandFailed: it does not answer; the message ends with the tail of its log.
    """
    service = _start(directory)
    try:
        _wait_until_ready(service)
        yield service
    finally:
        stop_service(service.process)


def stop_service(process: subprocess.Popen[bytes]) -> None:
    """Ask the service to end, and end what is left of it when it does not."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        # Its own session: the group is the service and everything it started.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _start(directory: Path) -> RunningService:
    api_key = f"fz_{secrets.token_hex(24)}"
    # Settings of another service in this shell must not leak into the demo's.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FARZI_")}
    environment = {
        **inherited,
        "FARZI_DATA_DIR": str(directory / "data"),
        "FARZI_HOST": "127.0.0.1",
        "FARZI_PORT": "0",
        "FARZI_BOOTSTRAP_API_KEY": api_key,
        # Students of a preset are too small to gain from a second thread, and where other programs want the cores too, threads
        # that wait for each other lose many times over.
        "FARZI_TORCH_THREADS": "1",
    }
    log, address_file = directory / "service.log", directory / "address"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "farzi_client.cli", "serve", "--address-file", str(address_file)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the demo; the demo then stops the service
        )
    return RunningService(address_file=address_file, api_key=api_key, log=log, process=process)


def _wait_until_ready(service: RunningService) -> None:
    give_up_at = time.monotonic() + START_TIMEOUT_S
    while not _is_ready(service):
        if service.process.poll() is not None:
            raise CommandFailed(f"the service ended with exit code {service.process.returncode}:\n{service.log_tail()}")
        if time.monotonic() > give_up_at:
            raise CommandFailed(f"the service is not ready after {START_TIMEOUT_S:g} s:\n{service.log_tail()}")
        time.sleep(0.1)


def _is_ready(service: RunningService) -> bool:
    if not service.address_file.exists():
        return False
    try:
        return httpx.get(f"{service.base_url}/readyz", timeout=5.0, trust_env=False).is_success
    except httpx.TransportError:
        return False
