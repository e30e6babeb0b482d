"""One service of real processes, with a fault proxy before each of its parts, and the ways a chaos fault handles it."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr
from sqlalchemy import make_url

from app.db import make_engine, make_session_factory
from app.settings import Settings
from tests.chaos.process_table import LiveRun, find_runs
from tests.chaos.proxy import FaultProxy
from tests.chaos.servers import RestartablePostgres, RestartableRedis, running_restartable_postgres
from tests.services.object_store import running_object_store
from tests.services.processes import free_ports
from tests.worker.running_service import QUICK_TIMES, RunningService

DATABASE = "farzi"
SHIPPED_TIMES = {name: Settings.model_fields[name].default for name in QUICK_TIMES}
ONLOOKER_S = 3600.0
STOP_S = 240.0
READY_S = 240.0


@dataclass
class Parts:
    """Servers that a cluster stands on; tests that share servers leave the two that can be killed out."""

    settings: dict[str, Any]
    postgres: RestartablePostgres | None = None
    redis: RestartableRedis | None = None
    proxies: dict[str, FaultProxy] = field(default_factory=dict)


class Cluster(RunningService):
    """Processes, rows and objects of one service. What it starts goes through the proxies; what it reads itself does not."""

    def __init__(self, directory: Path, parts: Parts, **settings: Any) -> None:
        (self.port,), self.api_key = free_ports(1), f"fz_{secrets.token_hex(20)}"
        own = {"data_dir": directory / "data", "secret_key": secrets.token_hex(32), "log_format": "console"}
        super().__init__(**own | parts.settings | settings)
        self.engine.dispose()
        # What only looks on may be slow, however short the leases are: its transactions are not ended for that.
        self.engine = make_engine(self.settings.model_copy(update={"lease_s": ONLOOKER_S}))
        self.session_factory = make_session_factory(self.engine)
        self.directory, self.parts = directory, parts
        self.temporary = directory / "tmp"
        self.temporary.mkdir()
        self.log_path = directory / "processes.log"

    @property
    def data_dir(self) -> Path:
        return Path(self.settings.data_dir)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        return self._start([sys.executable, "-m", *arguments])

    def start_worker(self, queue: str = "gpu") -> subprocess.Popen[bytes]:
        return self.start("worker.main", "--queue", queue)

    def start_server(self) -> subprocess.Popen[bytes]:
        """Start ``farzi serve``: the API, and everything else too where the service is embedded."""
        return self._start([str(Path(sys.executable).with_name("farzi")), "serve"])

    def start_ready_server(self) -> subprocess.Popen[bytes]:
        """Start the API and wait until it is ready; one that gives up its start is started again, as a process manager does."""
        server = self.start_server()
        give_up_at = time.monotonic() + READY_S
        while not self.is_ready():
            assert time.monotonic() < give_up_at, f"not ready; see {self.log_path}"
            if server.poll() is not None:
                self.processes.remove(server)
                server = self.start_server()
            time.sleep(0.05)
        return server

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def client(self, **options: Any) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.api_key}"}
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers=headers, **{"timeout": 10.0} | options)

    def runs_alive(self) -> list[LiveRun]:
        return find_runs(self.data_dir)

    def replace(self, process: subprocess.Popen[bytes], *arguments: str) -> subprocess.Popen[bytes]:
        """Do what a process manager does: start it anew once it is gone."""
        process.wait()
        self.processes.remove(process)
        return self.start(*arguments)

    def stop(self) -> None:
        """Let every process end in good order."""
        for process in self.processes:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self.processes:
            process.wait(STOP_S)

    def _start(self, command: list[str]) -> subprocess.Popen[bytes]:
        given = self.settings.model_dump(exclude_unset=True) | self._routes()
        values = {key: value.get_secret_value() if isinstance(value, SecretStr) else value for key, value in given.items()}
        environment = {f"FARZI_{key.upper()}": str(value) for key, value in values.items()}
        own = {
            "FARZI_PORT": str(self.port),
            "FARZI_BOOTSTRAP_API_KEY": self.api_key,
            "OMP_NUM_THREADS": "1",
            "TMPDIR": str(self.temporary),
        }
        with self.log_path.open("ab") as log:
            process = subprocess.Popen(
                command, env={**os.environ, **environment, **own}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.processes.append(process)
        return process

    def _routes(self) -> dict[str, str]:
        """Return the settings that lead through a proxy."""
        proxies, routes = self.parts.proxies, {}
        if "database" in proxies:
            database = make_url(self.settings.resolved_database_url).database
            routes["database_url"] = f"postgresql+psycopg://postgres@127.0.0.1:{proxies['database'].port}/{database}"
        if "broker" in proxies:
            routes["broker_url"] = f"redis://127.0.0.1:{proxies['broker'].port}/0"
        if "store" in proxies:
            routes["s3_endpoint_url"] = routes["s3_public_endpoint_url"] = f"http://127.0.0.1:{proxies['store'].port}"
        return routes


@contextmanager
def running_server_cluster(directory: Path, *, seed: int = 0, **settings: Any) -> Iterator[Cluster]:
    """Start servers of its own, and no process of the service yet."""
    with ExitStack() as stack:
        postgres = stack.enter_context(running_restartable_postgres())
        postgres.execute(f"CREATE DATABASE {DATABASE}")
        (directory / "servers").mkdir(parents=True)
        redis = RestartableRedis(directory / "servers")
        stack.callback(redis.kill)
        store = stack.enter_context(running_object_store(directory / "servers"))
        given = {"database_url": postgres.url_of(DATABASE), "broker_url": redis.url, **store}
        parts = Parts(given, postgres, redis, make_proxies(given, seed))
        for proxy in parts.proxies.values():
            stack.callback(proxy.close)
        cluster = Cluster(directory, parts, **settings)
        stack.callback(cluster.close)
        yield cluster


@contextmanager
def running_embedded_cluster(directory: Path, **settings: Any) -> Iterator[Cluster]:
    """A service on SQLite and a directory; no process is started yet."""
    directory.mkdir(parents=True, exist_ok=True)
    cluster = Cluster(directory, Parts({}), **settings)
    try:
        yield cluster
    finally:
        cluster.close()


def make_proxies(settings: dict[str, Any], seed: int) -> dict[str, FaultProxy]:
    """Return a proxy before each server that the settings name."""
    socket_directory = str(make_url(settings["database_url"]).query["host"])
    broker, store = make_url(settings["broker_url"]), httpx.URL(settings["s3_endpoint_url"])
    assert broker.host is not None
    assert broker.port is not None
    assert store.port is not None
    return {
        "database": FaultProxy(f"{socket_directory}/.s.PGSQL.5432", seed=seed),
        "broker": FaultProxy((broker.host, broker.port), seed=seed),
        "store": FaultProxy((store.host, store.port), http=True, seed=seed),
    }
