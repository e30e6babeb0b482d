"""``farzi dataset``: upload, list, show, delete."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from farzi_client.cli.arguments import parse_labels, parse_values
from farzi_client.cli.failures import EXIT_INTERRUPTED, UsageProblem
from farzi_client.cli.leaving import leaving_says
from farzi_client.cli.listing import Listing
from farzi_client.cli.output import JsonOption, Output, QuietOption, format_bytes, record_table
from farzi_client.cli.progress import Bar, progress_bar
from farzi_client.cli.shell_completion import complete_dataset
from farzi_client.client import Client
from farzi_client.datasets import DataFormat, Task, describe_problem
from farzi_client.errors import UploadInterrupted
from farzi_client.models import Dataset

app = typer.Typer(help="Upload data sets and look at them.", no_args_is_help=True)

FORMAT_OF_SUFFIX: dict[str, DataFormat] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".parquet": "parquet",
    ".inter": "inter",
}
COMPRESSED_SUFFIXES = frozenset({".gz", ".zst"})
NUM_PROBLEMS_SHOWN = 20

DatasetArgument = Annotated[str, typer.Argument(metavar="DATASET_ID", show_default=False, autocompletion=complete_dataset)]


@app.command()
def upload(
    path: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, readable=True, show_default=False)],
    *,
    name: Annotated[str | None, typer.Option(help="Name of the data set; default: the file's.")] = None,
    task: Annotated[Task, typer.Option(help="What students of it will do.")] = "sequential_recommendation",
    data_format: Annotated[
        DataFormat | None, typer.Option("--format", help="How the file is written; default: by its ending.")
    ] = None,
    user: Annotated[str | None, typer.Option(help="Column of the user: a name, or a position from 0.")] = None,
    item: Annotated[str | None, typer.Option(help="Column of the event: a name, or a position from 0.")] = None,
    timestamp: Annotated[str | None, typer.Option(help="Column of the time: a name, or a position from 0.")] = None,
    rating: Annotated[str | None, typer.Option(help="Column of the rating, for option min_rating.")] = None,
    file_order: Annotated[bool, typer.Option("--file-order", help="There is no time: events are in the file's order.")] = False,
    option: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Reading option; may be repeated.")] = None,
    metadata: Annotated[list[str] | None, typer.Option(metavar="NAME=TEXT", help="Label of your own; may be repeated.")] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="DATASET_ID[/UPLOAD_ID]",
            help="Go on with an upload of this file that broke off.",
            show_default=False,
            autocompletion=complete_dataset,
        ),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the file is validated.")] = True,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Upload a file as a new data set and wait for its validation."""
    output = Output(as_json=as_json, quiet=quiet)
    if file_order and timestamp is not None:
        raise UsageProblem("--file-order says that there is no time, and --timestamp names its column; give one of them")
    columns = _columns(user=user, item=item, timestamp=timestamp, rating=rating)
    if file_order:
        columns["timestamp"] = None
    if resume is not None and (columns or any(given is not None for given in (name, data_format, option, metadata))):
        raise UsageProblem("--resume goes on with a data set that is declared already; leave out what declares one")
    with Client() as client:
        with progress_bar(output, f"uploading {path.name}", of_bytes=True) as bar, _stoppable(output):
            dataset = (
                _resume(client, resume, path, bar)
                if resume is not None
                else client.datasets.upload(
                    path,
                    name=name,
                    task=task,
                    format=data_format or _guess_format(path, task),
                    columns=columns or None,
                    options=parse_values(option, "--option"),
                    metadata=parse_labels(metadata, "--metadata"),
                    on_progress=bar.update,
                )
            )
        if wait:
            with leaving_says(output, f"the validation goes on without you; look with 'farzi dataset show {dataset.id}'"):
                dataset = wait_for_validation(client, dataset.id, output)
    output.result(dict(dataset.raw), lambda console: console.print(_describe(dataset)))


@app.command("list")
def list_datasets(
    limit: Annotated[int, typer.Option(min=1, help="Most data sets listed, newest first.")] = 20,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """List data sets."""
    output = Output(as_json=as_json, quiet=quiet)
    with Client() as client:
        datasets = list(islice(client.datasets.list(), limit))
    columns = ("id", "name", "status", "task", "sequences", "events", "size")
    listing = Listing(*columns, named="name", spared=("task", "sequences", "size"))
    for item in datasets:
        listing.add(
            item.id,
            item.name,
            item.status,
            item.task,
            _count(item.num_sequences),
            _count(item.num_events),
            format_bytes(item.size_bytes),
        )
    output.result([dict(item.raw) for item in datasets], listing.print)


@app.command()
def show(
    dataset_id: DatasetArgument,
    report: Annotated[bool, typer.Option("--report", help="The validation report: every bad row, histograms.")] = False,
    preview: Annotated[bool, typer.Option("--preview", help="The first sequences, in your own ids or words.")] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show one data set, its validation report or its first sequences."""
    output = Output(as_json=as_json, quiet=quiet)
    if report and preview:
        raise UsageProblem("--report and --preview are two answers; ask for one of them")
    with Client() as client:
        if report or preview:
            answer: Any = client.datasets.report(dataset_id) if report else client.datasets.preview(dataset_id)
            output.result(answer, lambda console: console.print_json(data=answer))
            return
        dataset = client.datasets.get(dataset_id)
        problems = client.datasets.report(dataset_id).get("problems", []) if dataset.status == "invalid" else []
    lines = [describe_problem(problem) for problem in problems[:NUM_PROBLEMS_SHOWN]]
    output.result(dict(dataset.raw), lambda console: console.print(_describe(dataset), *lines, sep="\n"))


@app.command()
def delete(dataset_id: DatasetArgument, as_json: JsonOption = False, quiet: QuietOption = False) -> None:
    """Delete a data set; refused while a job uses it."""
    output = Output(as_json=as_json, quiet=quiet)
    with Client() as client:
        client.datasets.delete(dataset_id)
    output.result({"id": dataset_id, "deleted": True}, lambda console: console.print(f"deleted {dataset_id}"))


def _resume(client: Client, place: str, path: Path, bar: Bar) -> Dataset:
    dataset_id, _, upload_id = place.partition("/")
    return client.datasets.resume_upload(dataset_id, path, upload_id=upload_id or None, on_progress=bar.update)


@contextmanager
def _stoppable(output: Output) -> Iterator[None]:
    """Let Ctrl-C end an upload in parts as an interruption, and say how to go on."""
    try:
        yield
    except UploadInterrupted as error:
        if not isinstance(error.__cause__, KeyboardInterrupt):
            raise
        output.warn(str(error))
        raise typer.Exit(EXIT_INTERRUPTED) from None


def wait_for_validation(client: Client, dataset_id: str, output: Output) -> Dataset:
    """Show that validation goes on until it is over."""
    with progress_bar(output, "validating") as bar:
        return client.datasets.wait(dataset_id, on_poll=lambda _: bar.update(0, None))


def _columns(**given: str | None) -> dict[str, str | int | None]:
    return {role: int(column) if column.isdigit() else column for role, column in given.items() if column is not None}


def _guess_format(path: Path, task: Task) -> DataFormat:
    suffix = (path.with_suffix("") if path.suffix.lower() in COMPRESSED_SUFFIXES else path).suffix.lower()
    if task == "language_modeling" and suffix in {".txt", ""}:
        return "text"
    if suffix in FORMAT_OF_SUFFIX:
        return FORMAT_OF_SUFFIX[suffix]
    raise UsageProblem(
        f"the ending of {path.name} does not tell how it is written; say it with --format "
        f"({', '.join(cast(Any, DataFormat).__args__)})"
    )


def _describe(dataset: Dataset) -> Any:
    return record_table(
        {
            "id": dataset.id,
            "name": dataset.name,
            "status": dataset.status,
            "task": dataset.task,
            "format": dataset.format,
            "sequences": _count(dataset.num_sequences),
            "events": _count(dataset.num_events),
            "vocabulary": _count(dataset.vocab_size),
            "size": format_bytes(dataset.size_bytes),
            "sha256": dataset.sha256,
        }
    )


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"
