"""``farzi distill``, ``farzi evaluate`` and ``farzi estimate``: submit a job, or ask what one would take."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from farzi_client.cli.arguments import parse_labels, read_spec
from farzi_client.cli.failures import UsageProblem
from farzi_client.cli.job_display import describe_job, see_through
from farzi_client.cli.output import JsonOption, Output, QuietOption, format_bytes, format_seconds, record_table
from farzi_client.cli.shell_completion import complete_dataset, complete_dataset_or_job, complete_job
from farzi_client.client import Client
from farzi_client.models import Estimate, Job

PRESETS = ("quick", "standard", "thorough")

SpecOption = Annotated[
    Path | None,
    typer.Option("--spec", metavar="FILE", exists=True, dir_okay=False, help="JSON file of what differs from the defaults."),
]
PresetOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="quick, standard (the default) or thorough.", autocompletion=lambda: PRESETS)
]
StudentsOption = Annotated[
    str | None, typer.Option("--students", metavar="A,B", help="Architectures judged; default: all of the task.")
]
SeedsOption = Annotated[int | None, typer.Option("--num-seeds", min=1, help="Fresh students of each kind.")]
DeadlineOption = Annotated[float | None, typer.Option("--deadline-s", min=1, help="Stop the job after so many seconds.")]
LabelOption = Annotated[
    list[str] | None, typer.Option("--metadata", metavar="NAME=TEXT", help="Label of your own; may be repeated.")
]
WatchOption = Annotated[bool, typer.Option("--watch", help="Stay until the job is over.")]


def distill(
    dataset_id: Annotated[str, typer.Argument(metavar="DATASET_ID", show_default=False, autocompletion=complete_dataset)],
    *,
    spec: SpecOption = None,
    preset: PresetOption = None,
    deadline_s: DeadlineOption = None,
    metadata: LabelOption = None,
    watch: WatchOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Distil a ready data set: submit the job, and with --watch see it through."""
    body = _distillation(dataset_id, spec, preset)
    _submit(body, deadline_s, metadata, Output(as_json=as_json, quiet=quiet), watch=watch)


def evaluate(
    job_id: Annotated[str, typer.Argument(metavar="JOB_ID", show_default=False, autocompletion=complete_job)],
    *,
    spec: SpecOption = None,
    students: StudentsOption = None,
    num_seeds: SeedsOption = None,
    deadline_s: DeadlineOption = None,
    metadata: LabelOption = None,
    watch: WatchOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Judge the result of a distillation once more: with other students, seeds or baselines."""
    body = _evaluation(job_id, spec, students, num_seeds)
    _submit(body, deadline_s, metadata, Output(as_json=as_json, quiet=quiet), watch=watch)


def estimate(
    source_id: Annotated[
        str,
        typer.Argument(
            metavar="DATASET_ID|JOB_ID",
            show_default=False,
            help="A data set to distil, or a job to evaluate.",
            autocompletion=complete_dataset_or_job,
        ),
    ],
    *,
    spec: SpecOption = None,
    preset: PresetOption = None,
    students: StudentsOption = None,
    num_seeds: SeedsOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Say what a distillation of a data set, or an evaluation of a job, would take; nothing is submitted."""
    output = Output(as_json=as_json, quiet=quiet)
    is_evaluation = source_id.startswith("job_")
    if is_evaluation and preset is not None:
        raise UsageProblem("--preset belongs to a distillation; an evaluation takes --spec, --students and --num-seeds")
    if not is_evaluation and (students, num_seeds) != (None, None):
        raise UsageProblem("--students and --num-seeds belong to an evaluation; give the id of a job")
    body = _evaluation(source_id, spec, students, num_seeds) if is_evaluation else _distillation(source_id, spec, preset)
    with Client() as client:
        found = client.jobs.estimate(body)
    output.result(dict(found.raw), lambda console: console.print(_describe_estimate(found)))
    if found.basis.speeds == "reference":
        output.remark("no worker has measured its machine yet: the speeds are of another one, and may be several times off")


def _distillation(dataset_id: str, spec: Path | None, preset: str | None) -> dict[str, Any]:
    if spec is not None and preset is not None:
        raise UsageProblem('--spec and --preset exclude each other; write "preset" into the spec file')
    overrides = read_spec(spec) if spec is not None else {"preset": preset} if preset else {}
    return {"kind": "distillation", "dataset_id": dataset_id, "spec": overrides}


def _evaluation(job_id: str, spec: Path | None, students: str | None, num_seeds: int | None) -> dict[str, Any]:
    overrides = read_spec(spec) if spec is not None else {}
    if students is not None:
        overrides["students"] = [name.strip() for name in students.split(",")]
    if num_seeds is not None:
        overrides["num_seeds"] = num_seeds
    return {"kind": "evaluation", "job_id": job_id, "spec": overrides}


def _submit(
    body: Mapping[str, Any], deadline_s: float | None, metadata: list[str] | None, output: Output, *, watch: bool
) -> None:
    labels = parse_labels(metadata, "--metadata")
    with Client() as client:
        job: Job = client.jobs.create(body, deadline_s=deadline_s, metadata=labels)
        if watch:
            output.remark(f"submitted {job.id}")
            job = see_through(client, job.id, output)
    output.result(dict(job.raw), lambda console: console.print(describe_job(job)))
    if not watch:
        output.remark(f"follow it with 'farzi job watch {job.id}'")


def _describe_estimate(found: Estimate) -> Any:
    basis = found.basis
    speeds = f"measured on {basis.machine}" if basis.speeds == "measured" else "of a reference machine"
    phases = "\n".join(f"{name} {format_seconds(seconds)}" for name, seconds in found.phases.items() if seconds > 0)
    return record_table(
        {
            "time": f"{format_seconds(found.seconds_p50)}; nine in ten below {format_seconds(found.seconds_p90)}",
            "of which": phases,
            "memory": format_bytes(found.peak_memory_bytes),
            "result": format_bytes(found.output_bytes),
            "quota": "would be exceeded" if found.would_exceed_quota else "suffices",
            "speeds": f"{speeds}, corrected by {basis.num_finished_jobs} finished jobs",
        }
    )
