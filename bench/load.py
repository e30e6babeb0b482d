"""How fast the API answers: reads and submissions, with and without open event streams, beside an empty endpoint and a peer.

Starts everything itself, on this machine: Postgres, Redis, the API with two processes, an empty FastAPI application with two
processes (what the framework allows at best) and an MLflow tracking server with two processes on the same Postgres (a service
that also answers reads of one run from a database). One generator, one run, one after the other. Run as

    python -m bench.load

and the figures go to ``bench/results/load.json``; the table that it prints is in ``docs/benchmarks-service.md``. MLflow is no
dependency of this project: it gets an environment of its own in ``.make/mlflow``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from app.datasets.models import Dataset
from app.db import make_engine, make_session_factory
from app.migrate import upgrade
from app.settings import Settings
from app.tenants.models import Tenant
from bench.load_page import render_table
from tests.services.postgres import PostgresServer, running_postgres
from tests.services.processes import free_ports, running_server
from tests.services.redis import running_redis
from tests.services.rows import add_job

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results" / "load.json"
MLFLOW = "mlflow==3.17.2"
KEY = "fz_bench-0123456789-0123456789-0123456789"
PROCESSES = 2
CONNECTIONS = 16
STEADY_PER_S = 20
STREAMS = 200
SPEC = {"preset": "quick", "synthetic": {"num_sequences": 10, "sequence_length": 20}}
EMPTY = "from fastapi import FastAPI\napp = FastAPI()\n@app.get('/empty')\ndef empty() -> dict[str, str]:\n    return {}\n"


@dataclass(frozen=True)
class Call:
    """One HTTP request that is sent again and again."""

    port: int
    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def wire(self) -> bytes:
        lines = [f"{self.method} {self.path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", f"Content-Length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body


@dataclass
class Answers:
    """What came back: seconds of each answer, and how often each status."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def summary(self, took_s: float) -> dict[str, Any]:
        ordered = sorted(self.seconds)
        at = {name: round(1000 * ordered[int(share * (len(ordered) - 1))], 2) for name, share in PERCENTILES.items()}
        return {
            "answers": len(ordered),
            "per_s": round(len(ordered) / took_s, 1),
            "ms": at,
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
        }


PERCENTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


async def as_fast_as_it_goes(call: Call, seconds: float) -> dict[str, Any]:
    """Send the next request when the last is answered, on every connection."""
    answers, began = Answers(), time.perf_counter()

    async def repeat() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", call.port)
        while time.perf_counter() - began < seconds:
            await _exchange(reader, writer, call.wire, time.perf_counter(), answers)
        writer.close()

    await asyncio.gather(*(repeat() for _ in range(CONNECTIONS)))
    return answers.summary(time.perf_counter() - began)


async def at_a_steady_rate(call: Call, seconds: float) -> dict[str, Any]:
    """Send requests at fixed moments, whether or not the server keeps up; late ones count from when they were due."""
    answers, began = Answers(), time.perf_counter()
    due = asyncio.Queue[float]()

    async def repeat() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", call.port)
        while (due_at := await due.get()) >= 0:
            await _exchange(reader, writer, call.wire, due_at, answers)
        writer.close()

    workers = [asyncio.create_task(repeat()) for _ in range(CONNECTIONS)]
    for number in range(int(seconds * STEADY_PER_S)):
        due_at = began + number / STEADY_PER_S
        await asyncio.sleep(max(0.0, due_at - time.perf_counter()))
        due.put_nowait(due_at)
    for _ in workers:
        due.put_nowait(-1.0)
    await asyncio.gather(*workers)
    return answers.summary(time.perf_counter() - began)


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wire: bytes, since: float, answers: Answers
) -> None:
    writer.write(wire)
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = head.partition("content-length:")[2].partition("\r\n")[0]
    await reader.readexactly(int(length))
    answers.seconds.append(time.perf_counter() - since)
    answers.statuses[int(head[9:12])] += 1


@contextlib.asynccontextmanager
async def open_streams(call: Call, count: int) -> Any:
    """Keep event streams open and read; yields how many were answered 200, and fails if one ends before the block does."""
    ended: list[int] = []

    async def read(reader: asyncio.StreamReader, number: int) -> None:
        while await reader.read(65536):
            pass
        ended.append(number)

    writers, tasks = [], []
    for number in range(count):
        reader, writer = await asyncio.open_connection("127.0.0.1", call.port)
        writer.write(call.wire)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        writers.append(writer)
        tasks.append(asyncio.create_task(read(reader, number)))
    yield len(writers)
    assert not ended, f"{len(ended)} streams ended early"
    for task in tasks:
        task.cancel()
    for writer in writers:
        writer.close()


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
    with running_server(command, directory / "api.log", _answers(port, "/readyz"), environment=environment_of(settings)):
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
    with running_server(list(map(str, command)), directory / "mlflow.log", _answers(port, "/health", patience_s=120)):
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


def post(port: int, path: str, body: dict[str, Any]) -> dict[str, Any]:
    request = Request(f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urlopen(request) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def prepare_jobs(settings: Settings) -> tuple[str, str]:
    """Add a ready data set and a job that waits for ever, between others; return their ids."""
    engine = make_engine(settings)
    with make_session_factory(engine).begin() as session:
        tenant = session.query(Tenant).one()
        dataset = Dataset(
            id="ds_bench",
            tenant_id=tenant.id,
            name="interactions",
            task="sequential_recommendation",
            format="csv",
            options={},
            user_metadata={},
            status="ready",
            sha256="0" * 64,
            num_sequences=60,
            num_events=2400,
            vocab_size=50,
            max_sequence_length=40,
            created_at=tenant.created_at,
            updated_at=tenant.created_at,
        )
        session.add(dataset)
        session.flush()
        job_ids = [add_job(session, dataset, spec=SPEC).id for _ in range(1000)]
    engine.dispose()
    return dataset.id, job_ids[500]


async def measure(postgres: PostgresServer, redis_url: str, directory: Path, seconds: float) -> dict[str, Any]:
    """Return every row of the table by its name."""
    rows: dict[str, Any] = {}

    async def measure_call(name: str, call: Call) -> None:
        await as_fast_as_it_goes(call, min(seconds, 2.0))  # warm
        rows[name] = {
            "fast": await as_fast_as_it_goes(call, seconds),
            "steady": await at_a_steady_rate(call, seconds),
        }
        sys.stderr.write(f"{name}: {json.dumps(rows[name])}\n")

    with serving_empty(directory) as port:
        await measure_call("empty endpoint", Call(port, "GET", "/empty"))
    with serving_farzi(postgres, redis_url, directory) as (port, settings):
        dataset_id, job_id = prepare_jobs(settings)
        key = {"Authorization": f"Bearer {KEY}"}
        read = Call(port, "GET", f"/v1/jobs/{job_id}", key)
        await measure_call("GET /v1/jobs/{id}", read)
        stream = Call(port, "GET", f"/v1/jobs/{job_id}/events/stream", key)
        async with open_streams(stream, STREAMS) as count:
            await measure_call(f"GET /v1/jobs/{{id}}, {count} streams open", read)
        body = json.dumps({"kind": "distillation", "dataset_id": dataset_id, "spec": SPEC}).encode()
        submit = Call(port, "POST", "/v1/jobs", {**key, "Content-Type": "application/json"}, body)
        await measure_call("POST /v1/jobs", submit)
    with serving_mlflow(postgres, directory) as port:
        experiment = post(port, "/api/2.0/mlflow/experiments/create", {"name": "bench"})["experiment_id"]
        run_id = post(port, "/api/2.0/mlflow/runs/create", {"experiment_id": experiment})["run"]["info"]["run_id"]
        await measure_call("MLflow: GET runs/get", Call(port, "GET", f"/api/2.0/mlflow/runs/get?run_id={run_id}"))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0, help="Length of each measurement.")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    load_before = round(os.getloadavg()[0], 2)
    with tempfile.TemporaryDirectory(prefix="farzi-load-") as name, running_postgres() as postgres:
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):  # the tests' haste is not a service's
            postgres.execute(f"ALTER SYSTEM RESET {setting}")
        postgres.execute("SELECT pg_reload_conf()")
        directory = Path(name)
        with running_redis(directory) as redis_url:
            rows = asyncio.run(measure(postgres, redis_url, directory, arguments.seconds))
    errors = sum(
        count for row in rows.values() for way in row.values() for status, count in way["statuses"].items() if status >= "500"
    )
    results = {
        "command": "python -m bench.load",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cpus": os.cpu_count(), "platform": platform.platform(), "python": platform.python_version()},
        "load_average_before": load_before,
        "processes": PROCESSES,
        "connections": CONNECTIONS,
        "steady_per_s": STEADY_PER_S,
        "seconds": arguments.seconds,
        "mlflow": MLFLOW,
        "server_errors": errors,
        "rows": rows,
    }
    arguments.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(render_table(results))
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
