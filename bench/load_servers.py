"""The servers whose answers are timed: Farzi's API, an application that does nothing, and MLflow, alike in processes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from app.migrate import upgrade
from app.settings import Settings
from tests.services.postgres import PostgresServer
from tests.services.processes import free_ports, running_server

ROOT = Path(__file__).resolve().parents[1]
MLFLOW = "mlflow==3.17.2"
KEY = "fz_bench-0123456789-0123456789-0123456789"
PROCESSES = 2
PATIENCE_S = 120.0  # a busy machine starts a server slowly
EMPTY = "from fastapi import FastAPI\napp = FastAPI()\n@app.get('/empty')\ndef empty() -> dict[str, str]:\n    return {}\n"


@contextmanager
def serving_farzi(postgres: PostgresServer, redis_url: str, directory: Path) -> Iterator[tuple[int, Settings]]:
    """Run the API with two processes, as an operator would: settings' defaults, but no rate limit."""
    postgres.execute("CREATE DATABASE farzi")
    (port,) = free_ports(1)
    settings = Settings.model_validate(
        {
            "database_url": postgres.url_of("farzi"),
            "broker_url": redis_url,
            "secret_key": "s" * 32,
            "data_dir": directory,
            "bootstrap_api_key": KEY,
            "api_processes": PROCESSES,
            "rate_limit_per_s": 0,
            "port": port,
        }
    )
    upgrade(settings)
    from app.serve import environment_of  # noqa: PLC0415  it brings the whole server along

    command = [sys.executable, "-c", "import sys; from app.serve import run; sys.exit(run())"]
    ready = _answers(port, "/readyz", patience_s=PATIENCE_S)
    with running_server(command, directory / "api.log", ready, environment=environment_of(settings)):
        yield port, settings


@contextmanager
def serving_empty(directory: Path) -> Iterator[int]:
    """Run an application that answers ``{}`` and does nothing else."""
    (port,) = free_ports(1)
    (directory / "empty_application.py").write_text(EMPTY)
    command = [sys.executable, "-m", "uvicorn", "empty_application:app", "--port", str(port), "--workers", str(PROCESSES)]
    command += ["--no-access-log", "--app-dir", str(directory)]
    with running_server(command, directory / "empty.log", _answers(port, "/empty")):
        yield port


@contextmanager
def serving_mlflow(postgres: PostgresServer, directory: Path) -> Iterator[int]:
    """Run an MLflow tracking server on the same Postgres."""
    environment = ROOT / ".make" / "mlflow"
    if not (environment / "bin" / "mlflow").exists():
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        subprocess.run([environment / "bin" / "pip", "install", "--quiet", MLFLOW, "psycopg[binary]"], check=True)
    postgres.execute("CREATE DATABASE mlflow")
    (port,) = free_ports(1)
    url = postgres.url_of("mlflow").replace("postgresql+psycopg://", "postgresql://")
    command = [environment / "bin" / "mlflow", "server", "--backend-store-uri", url, "--port", str(port)]
    command += ["--host", "127.0.0.1", "--workers", str(PROCESSES), "--artifacts-destination", str(directory / "mlflow")]
    with running_server(list(map(str, command)), directory / "mlflow.log", _answers(port, "/health", patience_s=PATIENCE_S)):
        yield port


def _answers(port: int, path: str, *, patience_s: float = 0.0) -> Callable[[], bool]:
    """Return whether the server answers; a slow starter is waited for inside, because who asks gives up after half a minute."""

    def ask() -> bool:
        give_up_at = time.monotonic() + patience_s
        while True:
            try:
                with urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                    return bool(answer.status == 200)
            except OSError:
                if time.monotonic() >= give_up_at:
                    return False
                time.sleep(0.5)

    return ask
