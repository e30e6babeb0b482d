"""``farzi job`` and ``farzi download``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from farzi_client.artifacts import AS_PUBLISHED, Drawing, SequenceFormat
from farzi_client.cli.arguments import parse_labels
from farzi_client.cli.job_display import describe_job, print_comparison, see_through
from farzi_client.cli.leaving import leaving_says
from farzi_client.cli.listing import Listing, print_lines
from farzi_client.cli.output import JsonOption, Output, QuietOption
from farzi_client.cli.progress import progress_bar
from farzi_client.cli.shell_completion import complete_dataset, complete_job
from farzi_client.client import Client
from farzi_client.jobs import JobKind, JobStatus
from farzi_client.models import Artifact, Job

app = typer.Typer(help="Look at jobs and steer them.", no_args_is_help=True)


JobArgument = Annotated[str, typer.Argument(metavar="JOB_ID", show_default=False, autocompletion=complete_job)]


def download(
    job_id: JobArgument,
    artifact: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this file; may be repeated.")] = None,
    directory: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", file_okay=False, help="Where to.")] = Path("."),
    *,
    data_format: Annotated[
        SequenceFormat | None, typer.Option("--format", help="Format of hard sequences; inter is RecBole's, text a line each.")
    ] = None,
    draws: Annotated[
        int | None,
        typer.Option(min=1, max=100, metavar="K", help="Draw K hard sequences of each synthetic one."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**64 - 1, metavar="N", help="Draw other hard sequences than the published ones.")
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Download the artifacts of a job and verify every SHA-256.

    With --format, --draws or --seed: hard sequences made for this download; sequences.jsonl unless --artifact names a file.
    """
    output = Output(as_json=as_json, quiet=quiet)
    drawing = Drawing(data_format, draws, seed)
    if drawing != AS_PUBLISHED and not artifact:
        artifact = ["sequences.jsonl"]
    go_on = "what has arrived is kept; the same command again downloads the rest"
    with Client() as client, leaving_says(output, go_on):
        paths = download_artifacts(client, job_id, directory, output, names=artifact, drawing=drawing)
    output.result([str(path) for path in paths], lambda console: print_lines(console, map(str, paths)))


@app.command("list")
def list_jobs(
    *,
    status: Annotated[
        list[str] | None,
        typer.Option(help="Only jobs in this state; may be repeated.", autocompletion=lambda: get_args(JobStatus)),
    ] = None,
    kind: Annotated[JobKind | None, typer.Option(help="Only jobs of this kind.")] = None,
    dataset_id: Annotated[
        str | None, typer.Option("--dataset", metavar="DATASET_ID", help="Only jobs on it.", autocompletion=complete_dataset)
    ] = None,
    metadata: Annotated[list[str] | None, typer.Option(metavar="NAME=TEXT", help="Only jobs with this label.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most jobs listed, newest first.")] = 20,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """List jobs."""
    output = Output(as_json=as_json, quiet=quiet)
    with Client() as client:
        labels = parse_labels(metadata, "--metadata")
        statuses = [cast(JobStatus, name) for name in status or ()]  # the service refuses others
        jobs = list(islice(client.jobs.list(status=statuses, kind=kind, dataset_id=dataset_id, metadata=labels), limit))
    columns = ("id", "name", "kind", "status", "progress", "data set", "created")
    listing = Listing(*columns, named="name", spared=("data set", "created", "kind"))
    for job in jobs:
        created = job.created_at.strftime("%Y-%m-%d %H:%M") if job.created_at else "-"
        name, done = job.metadata.get("name", "-"), f"{100 * job.progress.fraction:.0f} %"
        listing.add(job.id, name, job.kind, job.status, done, job.dataset_id or "-", created)
    output.result([dict(job.raw) for job in jobs], listing.print)


@app.command()
def show(job_id: JobArgument, as_json: JsonOption = False, quiet: QuietOption = False) -> None:
    """Show one job."""
    output = Output(as_json=as_json, quiet=quiet)
    with Client() as client:
        job = client.jobs.get(job_id)
    output.result(dict(job.raw), lambda console: console.print(describe_job(job)))


@app.command()
def compare(
    job_ids: Annotated[list[str], typer.Argument(metavar="JOB_ID JOB_ID...", show_default=False, autocompletion=complete_job)],
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Put 2 to 10 jobs next to each other: what differs between their specs, and what each reached."""
    output = Output(as_json=as_json, quiet=quiet)
    with Client() as client:
        found = client.jobs.compare(*job_ids)
    output.result(dict(found.raw), lambda console: print_comparison(console, found))


@app.command()
def label(
    job_id: JobArgument,
    labels: Annotated[list[str], typer.Argument(metavar="NAME=TEXT...", show_default=False, help="NAME= removes a label.")],
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Set and remove labels of a job."""
    output = Output(as_json=as_json, quiet=quiet)
    wanted = {name: text or None for name, text in (parse_labels(labels, "label") or {}).items()}
    with Client() as client:
        job = client.jobs.label(job_id, wanted)
    shown = " ".join(f"{name}={text}" for name, text in job.metadata.items()) or "no labels"
    output.result(dict(job.raw), lambda console: console.print(shown))


@app.command()
def delete(job_id: JobArgument, as_json: JsonOption = False, quiet: QuietOption = False) -> None:
    """Delete a job that is over, with its artifacts, events and metrics."""
    output = Output(as_json=as_json, quiet=quiet)
    with Client() as client:
        client.jobs.delete(job_id)
    output.result({"id": job_id, "deleted": True}, lambda console: console.print(f"{job_id} is deleted"))


@app.command()
def watch(job_id: JobArgument, as_json: JsonOption = False, quiet: QuietOption = False) -> None:
    """Watch a job until it is over; Ctrl-C leaves it running."""
    output = Output(as_json=as_json, quiet=quiet)
    with Client() as client:
        job = see_through(client, job_id, output)
    output.result(dict(job.raw), lambda console: console.print(describe_job(job)))


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
    drawing: Drawing = AS_PUBLISHED,
) -> tuple[Path, ...]:
    """Download some or all artifacts with a bar."""

    def show_progress(artifact: Artifact, done: int, total: int) -> None:
        bar.update(done, total, f"downloading {artifact.name}")

    with progress_bar(output, "downloading", of_bytes=True) as bar:
        if not names:
            return client.artifacts.download_all(job_id, directory, on_progress=show_progress)
        return tuple(
            client.artifacts.download(job_id, name, directory, **asdict(drawing), on_progress=bar.update) for name in names
        )


def _steer(job_id: str, act: Callable[[Client], Job], *, as_json: bool, quiet: bool) -> None:
    output = Output(as_json=as_json, quiet=quiet)
    with Client() as client:
        job = act(client)
    output.result(dict(job.raw), lambda console: console.print(f"{job_id} is {job.status}"))
