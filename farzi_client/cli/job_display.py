"""A job on a terminal: as a table, while it runs, and next to others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from farzi_client.cli.listing import GAP, print_lines
from farzi_client.cli.output import Output, format_bytes, format_seconds, record_table
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


def print_comparison(console: Console, found: Comparison) -> None:
    """Print jobs as columns: what differs between them; as many next to each other as there is room for.

    Where there is no room for one column, every job is a list of its own.
    """
    names = [job.id for job in found.jobs]
    rows = [
        ("status", [job.status for job in found.jobs]),
        ("time", [format_seconds(job.seconds) for job in found.jobs]),
        ("artifacts", [format_bytes(job.size_bytes) for job in found.jobs]),
        *((name, _cells(values)) for name, values in found.spec.items()),
        *(
            (name, ["-" if number is None else f"{number:.4g}" for number in numbers])
            for name, numbers in found.metrics.items()
        ),
    ]
    titles = max(cell_len(title) for title, _ in rows)
    widths = [max(cell_len(cells[index]) for cells in (names, *(cells for _, cells in rows))) for index in range(len(names))]
    if titles + GAP + max(widths) > console.width:
        for index, name in enumerate(names):
            print_lines(console, [name, *(f"  {title}: {cells[index]}" for title, cells in rows)])
        return
    for block in _blocks(widths, console.width - titles):
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("", no_wrap=True)
        for index in block:
            table.add_column(names[index], no_wrap=True)
        for title, cells in rows:
            table.add_row(title, *(Text(cells[index]) for index in block))
        console.print(table)


def _blocks(widths: Sequence[int], room: int) -> Iterator[list[int]]:
    """Yield which columns stand next to each other; at least one does."""
    block: list[int] = []
    taken = 0
    for index, width in enumerate(widths):
        if block and taken + width + GAP > room:
            yield block
            block, taken = [], 0
        block.append(index)
        taken += width + GAP
    yield block


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
