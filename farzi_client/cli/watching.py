"""Watch a job on a terminal, and leave it running when the watcher goes."""

from __future__ import annotations

from collections.abc import Iterator

from farzi_client.cli.leaving import leaving_says
from farzi_client.cli.output import Output, format_seconds
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
DISTILLATION = "distillation"
LOSS_OF_PHASE = {"teacher": "teacher_loss", DISTILLATION: "outer_loss"}
VALIDATION = "validation_"


def watch_job(client: Client, job_id: str, output: Output) -> Job:
    """Show a job's progress until it is over.

    Raises:
        typer.Exit: the watcher left with Ctrl-C; the job goes on.
    """
    come_back = f"come back with 'farzi job watch {job_id}', stop it with 'farzi job cancel {job_id}'"
    with leaving_says(output, f"{job_id} goes on without you; {come_back}"):
        return follow_job(client, job_id, output)


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
    parts = [job.phase or "starting", *_describe_loss(job)]
    return ", ".join([*parts, f"{format_seconds(eta_s)} to go"] if eta_s is not None else parts)


def _describe_loss(job: Job) -> Iterator[str]:
    """Yield the newest loss of what goes on now, and what fresh students reached by the validation before."""
    if job.phase in LOSS_OF_PHASE and (loss := job.metrics.get(LOSS_OF_PHASE[job.phase])) is not None:
        yield f"loss {loss:.4g}"
    if job.phase == DISTILLATION:
        measured = (
            (name.removeprefix(VALIDATION), value) for name, value in job.metrics.items() if name.startswith(VALIDATION)
        )
        yield from (f"{name} {value:.4g}" for name, value in list(measured)[:1])


def _remark(bar: Bar, event: JobEvent) -> None:
    if event.type == "validation.measured":
        bar.remark(_describe_validation(event))
    elif event.type == "outer_loop.ended":
        bar.remark(str(event.data.get("message", event.type)))
    elif event.type in REMARKED_EVENTS:
        bar.remark(REMARKED_EVENTS[event.type])


def _describe_validation(event: JobEvent) -> str:
    metrics = event.data.get("metrics") or {}
    shown = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items() if isinstance(value, int | float))
    best = " (best so far)" if event.data.get("best") else ""
    return f"step {event.data.get('step', '?')}: {shown}{best}"
