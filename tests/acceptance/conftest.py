"""A service started by its own commands: embedded, or as API and workers around Postgres, Redis and an S3 server."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.acceptance.interactions import InteractionFile, provide_interactions
from tests.acceptance.processes import farzi_process, run_farzi, wait_until_ready
from tests.services.processes import free_ports

REQUEST_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class ServiceSettings:
    """What a service is started with."""

    port: int
    api_key: str
    variables: dict[str, str]

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def client(self) -> Iterator[httpx.Client]:
        """A plain HTTP client with the admin key."""
        headers = {"Authorization": f"Bearer {self.api_key}"}
        with httpx.Client(base_url=self.base_url, headers=headers, timeout=REQUEST_TIMEOUT_S) as http:
            yield http


def choose_settings(directory: Path, **variables: str) -> ServiceSettings:
    (port,), api_key = free_ports(1), f"fz_{secrets.token_hex(20)}"
    settings = {
        "FARZI_PORT": str(port),
        "FARZI_BOOTSTRAP_API_KEY": api_key,
        "FARZI_DATA_DIR": str(directory / "data"),
        "FARZI_LOG_FORMAT": "console",
        "FARZI_TORCH_THREADS": "1",
        "FARZI_CHECKPOINT_INTERVAL_S": "1",
    }
    return ServiceSettings(port, api_key, settings | variables)


@pytest.fixture(scope="session")
def interactions(tmp_path_factory: pytest.TempPathFactory) -> InteractionFile:
    return provide_interactions(tmp_path_factory.mktemp("interactions"))


@pytest.fixture
def embedded_settings(tmp_path: Path) -> ServiceSettings:
    return choose_settings(tmp_path)


@pytest.fixture
def server_settings(
    tmp_path: Path, empty_postgres_url: str, redis_url: str, s3_settings: dict[str, str]
) -> Iterator[ServiceSettings]:
    """A running service of four processes: API, gpu worker, cpu worker, and the servers behind them."""
    settings = choose_settings(
        tmp_path,
        FARZI_DATABASE_URL=empty_postgres_url,
        FARZI_BROKER_URL=redis_url,
        FARZI_SECRET_KEY=secrets.token_hex(32),
        **{f"FARZI_{name.upper()}": value for name, value in s3_settings.items()},
    )
    assert run_farzi(["db", "upgrade"], settings.variables) == 0
    with ExitStack() as running:
        log = tmp_path / "api.log"
        server = running.enter_context(farzi_process(["serve"], settings.variables, log))
        for queue in ("gpu", "cpu"):
            running.enter_context(farzi_process(["worker", "--queue", queue], settings.variables, tmp_path / f"{queue}.log"))
        wait_until_ready(settings.base_url, server, log)
        yield settings
