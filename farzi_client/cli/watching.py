"""Watch a job on a terminal, and leave it running when the watcher goes."""

from __future__ import annotations

import typer

from farzi_client.cli.failures import EXIT_INTERRUPTED
from farzi_client.cli.output import Output
from farzi_client.cli.progress import Bar, progress_bar
from farzi_client.client import Client
from farzi_client.models import Job, JobEvent

REMARKED_EVENTS = {
    "job.paused": "paused: 'farzi job resume' lets it go on",
    "job.resumed": "resumed",
    "job.retried": "queued again",
    "run.lost": "its worker was lost; another one takes over at the last checkpoint",
    "run.released": "its worker shut down; another one takes over at the last checkpoint",
    "checkpoint.skipped": "the newest checkpoint is damaged; going on from the one before",
}


def watch_job(client: Client, job_id: str, output: Output) -> Job:
    """Show a job's progress until it is over.

    Raises:
        typer.Exit: the watcher left with Ctrl-C; the job goes on.
    """
    try:
        return follow_job(client, job_id, output)
    except KeyboardInterrupt:
        output.warn(
            f"{job_id} goes on without you; come back with 'farzi job watch {job_id}', stop it with 'farzi job cancel {job_id}'"
        )
        raise typer.Exit(EXIT_INTERRUPTED) from None


def follow_job(client: Client, job_id: str, output: Output) -> Job:
    """Show a job's progress until it is over, for a caller that deals with Ctrl-C itself."""
    with progress_bar(output, "waiting for a worker") as bar:
        return client.jobs.wait(
            job_id,
            on_event=lambda event: _remark(bar, event),
            on_progress=lambda job: bar.update(job.progress.step, job.progress.total or None, describe_progress(job)),
        )


def describe_progress(job: Job) -> str:
    """Return the state of a job in a few words."""
    if job.status == "queued":
        return "waiting for a worker"
    if job.status != "running":
        return job.status
    if job.stop_requested:
        return f"about to {job.stop_requested}"
    eta_s = job.progress.eta_s
    rest = f", {eta_s:.0f} s to go" if eta_s is not None else ""
    return f"{job.phase or 'starting'}{rest}"


def _remark(bar: Bar, event: JobEvent) -> None:
    if event.type == "validation.measured":
        bar.remark(_describe_validation(event))
    elif event.type in REMARKED_EVENTS:
        bar.remark(REMARKED_EVENTS[event.type])


def _describe_validation(event: JobEvent) -> str:
    metrics = event.data.get("metrics") or {}
    shown = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items() if isinstance(value, int | float))
    best = " (best so far)" if event.data.get("best") else ""
    return f"step {event.data.get('step', '?')}: {shown}{best}"
