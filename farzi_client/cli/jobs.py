"""``farzi distill``, ``farzi job`` and ``farzi download``."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from farzi_client.cli.arguments import parse_labels, read_spec
from farzi_client.cli.failures import UsageProblem
from farzi_client.cli.output import JsonOption, Output, QuietOption, format_bytes, list_table, record_table
from farzi_client.cli.progress import progress_bar
from farzi_client.cli.watching import describe_progress, watch_job
from farzi_client.client import Client
from farzi_client.errors import JobFailed
from farzi_client.jobs import JobStatus
from farzi_client.models import Artifact, Job

app = typer.Typer(help="Look at jobs and steer them.", no_args_is_help=True)

JobArgument = Annotated[str, typer.Argument(metavar="JOB_ID", show_default=False)]


def distill(
    dataset_id: Annotated[str, typer.Argument(metavar="DATASET_ID", show_default=False)],
    *,
    spec: Annotated[
        Path | None,
        typer.Option(metavar="FILE", exists=True, dir_okay=False, help="JSON file of what differs from the preset."),
    ] = None,
    preset: Annotated[str | None, typer.Option(metavar="NAME", help="quick, standard (the default) or thorough.")] = None,
    deadline_s: Annotated[float | None, typer.Option("--deadline-s", min=1, help="Stop the job after so many seconds.")] = None,
    metadata: Annotated[list[str] | None, typer.Option(metavar="NAME=TEXT", help="Label of your own; may be repeated.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Stay until the job is over.")] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Distil a ready data set: submit the job, and with --watch see it through."""
    output = Output(as_json=as_json, quiet=quiet)
    if spec is not None and preset is not None:
        raise UsageProblem('--spec and --preset exclude each other; write "preset" into the spec file')
    overrides = read_spec(spec) if spec is not None else None
    labels = parse_labels(metadata, "--metadata")
    with Client() as client:
        job = client.jobs.distill(dataset_id, overrides, preset=preset, deadline_s=deadline_s, metadata=labels)
        if watch:
            output.remark(f"submitted {job.id}")
            job = _watch(client, job.id, output)
    output.result(dict(job.raw), lambda console: console.print(_describe(job)))
    if not watch:
        output.remark(f"follow it with 'farzi job watch {job.id}'")


def download(
    job_id: JobArgument,
    artifact: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this file; may be repeated.")] = None,
    directory: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", file_okay=False, help="Where to.")] = Path("."),
    *,
    draws: Annotated[
        int | None,
        typer.Option(min=1, max=100, metavar="K", help="Draw K hard sequences of each synthetic one."),
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Download the artifacts of a job and verify every SHA-256."""
    output = Output(as_json=as_json, quiet=quiet)
    if draws is not None and not artifact:
        artifact = ["sequences.jsonl"]
    with Client() as client:
        paths = download_artifacts(client, job_id, directory, output, names=artifact, draws=draws)
    output.result([str(path) for path in paths], lambda console: console.print(*paths, sep="\n"))


@app.command("list")
def list_jobs(
    status: Annotated[JobStatus | None, typer.Option(help="Only jobs in this state.")] = None,
    metadata: Annotated[list[str] | None, typer.Option(metavar="NAME=TEXT", help="Only jobs with this label.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most jobs listed, newest first.")] = 20,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """List jobs."""
    output = Output(as_json=as_json, quiet=quiet)
    with Client() as client:
        jobs = list(islice(client.jobs.list(status=status, metadata=parse_labels(metadata, "--metadata")), limit))
    table = list_table("id", "kind", "status", "progress", "data set", "created")
    for job in jobs:
        created = job.created_at.strftime("%Y-%m-%d %H:%M") if job.created_at else "-"
        table.add_row(job.id, job.kind, job.status, f"{100 * job.progress.fraction:.0f} %", job.dataset_id or "-", created)
    output.result([dict(job.raw) for job in jobs], lambda console: console.print(table))


@app.command()
def show(job_id: JobArgument, as_json: JsonOption = False, quiet: QuietOption = False) -> None:
    """Show one job."""
    output = Output(as_json=as_json, quiet=quiet)
    with Client() as client:
        job = client.jobs.get(job_id)
    output.result(dict(job.raw), lambda console: console.print(_describe(job)))


@app.command()
def watch(job_id: JobArgument, as_json: JsonOption = False, quiet: QuietOption = False) -> None:
    """Watch a job until it is over; Ctrl-C leaves it running."""
    output = Output(as_json=as_json, quiet=quiet)
    with Client() as client:
        job = _watch(client, job_id, output)
    output.result(dict(job.raw), lambda console: console.print(_describe(job)))


@app.command()
def cancel(job_id: JobArgument, as_json: JsonOption = False, quiet: QuietOption = False) -> None:
    """Stop a job for good."""
    _steer(job_id, lambda client: client.jobs.cancel(job_id), as_json=as_json, quiet=quiet)


@app.command()
def pause(job_id: JobArgument, as_json: JsonOption = False, quiet: QuietOption = False) -> None:
    """Stop a job at a checkpoint."""
    _steer(job_id, lambda client: client.jobs.pause(job_id), as_json=as_json, quiet=quiet)


@app.command()
def resume(job_id: JobArgument, as_json: JsonOption = False, quiet: QuietOption = False) -> None:
    """Let a paused job go on from its checkpoint."""
    _steer(job_id, lambda client: client.jobs.resume(job_id), as_json=as_json, quiet=quiet)


@app.command()
def retry(job_id: JobArgument, as_json: JsonOption = False, quiet: QuietOption = False) -> None:
    """Queue a failed or cancelled job again."""
    _steer(job_id, lambda client: client.jobs.retry(job_id), as_json=as_json, quiet=quiet)


def download_artifacts(
    client: Client,
    job_id: str,
    directory: Path,
    output: Output,
    *,
    names: list[str] | None = None,
    draws: int | None = None,
) -> tuple[Path, ...]:
    """Download some or all artifacts with a bar."""

    def show_progress(artifact: Artifact, done: int, total: int) -> None:
        bar.update(done, total, f"downloading {artifact.name}")

    with progress_bar(output, "downloading") as bar:
        if not names:
            return client.artifacts.download_all(job_id, directory, on_progress=show_progress)
        return tuple(client.artifacts.download(job_id, name, directory, draws=draws, on_progress=bar.update) for name in names)


def _watch(client: Client, job_id: str, output: Output) -> Job:
    try:
        return watch_job(client, job_id, output)
    except JobFailed as error:
        # A program that asked for JSON gets the job, failed or not; the exit code tells which.
        if output.as_json:
            output.result(dict(error.job.raw), lambda _: None)
        raise


def _steer(job_id: str, act: Callable[[Client], Job], *, as_json: bool, quiet: bool) -> None:
    output = Output(as_json=as_json, quiet=quiet)
    with Client() as client:
        job = act(client)
    output.result(dict(job.raw), lambda console: console.print(f"{job_id} is {job.status}"))


def _describe(job: Job) -> Any:
    metrics = "\n".join(f"{name} {value:.4g}" for name, value in job.metrics.items())
    artifacts = "\n".join(f"{item.name} ({format_bytes(item.size_bytes)})" for item in job.artifacts)
    step = f"{job.progress.step} of {job.progress.total} ({describe_progress(job)})" if job.progress.total else None
    return record_table(
        {
            "id": job.id,
            "kind": job.kind,
            "status": job.status,
            "data set": job.dataset_id,
            "preset": job.spec.get("preset"),
            "progress": step,
            "error": f"{job.error.message} ({job.error.code})" if job.error else None,
            "runs": len(job.runs) or None,
            "metrics": metrics or None,
            "artifacts": artifacts or None,
        }
    )
