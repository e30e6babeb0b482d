"""What reading a job takes of the processor and asks of the database, which a busy machine changes less than waiting times.

The whole application in this process, on a Postgres of its own; one request at a time, the HTTP client included. Run as

    python -m bench.read_cost

and the figures go to ``bench/results/read_cost.json``; the table that it prints is in ``docs/benchmarks-service.md``.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import structlog
from sqlalchemy import event

from app.main import create_app
from app.migrate import upgrade
from app.services import Services
from app.settings import Settings
from bench.load import prepare_jobs
from bench.load_servers import KEY
from tests.app.driving import claim_job, succeed
from tests.services.postgres import running_postgres

RESULTS = Path(__file__).parent / "results" / "read_cost.json"
ROUNDS, REQUESTS = 6, 100
HEAD = """| request | statements | processor time (ms) |
|---|---|---|
"""


async def measure(settings: Settings, directory: Path) -> dict[str, dict[str, float]]:
    """Return statements and processor time of one request, by name; the rounds take turns, and the median is kept."""
    application = create_app(settings)
    async with application.router.lifespan_context(application):
        services: Services = application.state.services
        _, waiting = prepare_jobs(settings)
        done = prepare_succeeded(services, directory)
        transport, headers = httpx.ASGITransport(application), {"Authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers) as client:
            paths = {"GET /healthz": "/healthz"}
            paths |= {"GET a job that waits": f"/v1/jobs/{waiting}", "GET a job that succeeded": f"/v1/jobs/{done}"}
            rounds = [
                {name: await _measure_round(client, services, path) for name, path in paths.items()} for _ in range(ROUNDS)
            ]
    return {
        name: {
            "statements": round(min(one[name][0] for one in rounds)),  # the webhooks' thread asks now and then, too
            "cpu_ms": round(statistics.median(one[name][1] for one in rounds), 2),
        }
        for name in paths
    }


def prepare_succeeded(services: Services, directory: Path) -> str:
    """Let one of the jobs succeed with seven files, and return its id."""
    with services.reading_sessions() as session:
        job_id: str = session.connection().exec_driver_sql("SELECT id FROM jobs ORDER BY id LIMIT 1").scalar_one()
    succeed(services, claim_job(services, job_id), directory, {f"file-{number}.json": b"{}" for number in range(7)})
    return job_id


async def _measure_round(client: httpx.AsyncClient, services: Services, path: str) -> tuple[float, float]:
    num_statements = 0

    def count(*_: Any) -> None:
        nonlocal num_statements
        num_statements += 1

    for _ in range(REQUESTS // 5):  # warm
        await client.get(path)
    event.listen(services.engine, "before_cursor_execute", count)
    began = time.process_time()
    for _ in range(REQUESTS):
        answer = await client.get(path)
        assert answer.status_code == 200, answer.text
    took_s = time.process_time() - began
    event.remove(services.engine, "before_cursor_execute", count)
    return num_statements / REQUESTS, 1000 * took_s / REQUESTS


def render_table(results: dict[str, Any]) -> str:
    rows = results["rows"].items()
    return HEAD + "".join(f"| {name} | {row['statements']} | {row['cpu_ms']} |\n" for name, row in rows)


def main() -> int:
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    load_before = round(os.getloadavg()[0], 2)
    with tempfile.TemporaryDirectory(prefix="farzi-read-cost-") as name, running_postgres() as postgres:
        postgres.execute("CREATE DATABASE farzi")
        fields = {"database_url": postgres.url_of("farzi"), "data_dir": name, "bootstrap_api_key": KEY, "rate_limit_per_s": 0}
        settings = Settings.model_validate(fields)
        upgrade(settings)
        rows = asyncio.run(measure(settings, Path(name)))
    results = {
        "command": "python -m bench.read_cost",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpus": os.cpu_count(),
        "load_average_before": load_before,
        "rounds": ROUNDS,
        "requests": REQUESTS,
        "rows": rows,
    }
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(render_table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
