"""A job on a terminal: as a table, while it runs, and next to others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich.table import Table

from farzi_client.cli.output import Output, format_bytes, format_seconds, list_table, record_table
from farzi_client.cli.watching import describe_progress, watch_job
from farzi_client.client import Client
from farzi_client.errors import JobFailed
from farzi_client.models import Comparison, Job


def describe_job(job: Job) -> Table:
    """Return one job as names and values."""
    metrics = "\n".join(f"{name} {value:.4g}" for name, value in job.metrics.items())
    artifacts = "\n".join(f"{item.name} ({format_bytes(item.size_bytes)})" for item in job.artifacts)
    step = f"{job.progress.step} of {job.progress.total} ({describe_progress(job)})" if job.progress.total else None
    return record_table(
        {
            "id": job.id,
            "kind": job.kind,
            "status": job.status,
            "data set": job.dataset_id,
            "evaluates": job.source_job_id,
            "preset": job.spec.get("preset"),
            "progress": step,
            "error": f"{job.error.message} ({job.error.code})" if job.error else None,
            "runs": len(job.runs) or None,
            "batches": f"divided by {job.batch_divisor}" if job.batch_divisor > 1 else None,
            "metrics": metrics or None,
            "artifacts": artifacts or None,
        }
    )


def describe_comparison(found: Comparison) -> Table:
    """Return jobs as columns: what differs between them."""
    table = list_table("", *(job.id for job in found.jobs))
    table.add_row("status", *(job.status for job in found.jobs))
    table.add_row("time", *(format_seconds(job.seconds) for job in found.jobs))
    table.add_row("artifacts", *(format_bytes(job.size_bytes) for job in found.jobs))
    for name, values in found.spec.items():
        table.add_row(name, *_cells(values))
    for name, numbers in found.metrics.items():
        table.add_row(name, *("-" if number is None else f"{number:.4g}" for number in numbers))
    return table


def see_through(client: Client, job_id: str, output: Output) -> Job:
    """Watch a job to its end, and return it."""
    try:
        return watch_job(client, job_id, output)
    except JobFailed as error:
        # A program that asked for JSON gets the job, failed or not; the exit code tells which.
        if output.as_json:
            output.result(dict(error.job.raw), lambda _: None)
        raise


def _cells(values: Sequence[Any]) -> list[str]:
    return ["-" if value is None else value if isinstance(value, str) else json.dumps(value) for value in values]
