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
import json
import os
import platform
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from app.datasets.models import Dataset
from app.db import make_engine, make_session_factory
from app.settings import Settings
from app.tenants.models import Tenant
from bench.load_generator import CONNECTIONS, STEADY_PER_S, Call, as_fast_as_it_goes, at_a_steady_rate, open_streams
from bench.load_page import render_table
from bench.load_servers import KEY, MLFLOW, PROCESSES, serving_empty, serving_farzi, serving_mlflow
from tests.services.postgres import PostgresServer, running_postgres
from tests.services.redis import running_redis
from tests.services.rows import add_job

RESULTS = Path(__file__).parent / "results" / "load.json"
STREAMS = 200
SPEC = {"preset": "quick", "synthetic": {"num_sequences": 10, "sequence_length": 20}}


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
