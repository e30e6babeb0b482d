"""The console script ``farzi``: every command, and the one place where errors become a sentence and an exit code."""

from __future__ import annotations

import importlib.metadata
import sys
from typing import Annotated

import typer

from farzi_client.cli import datasets, jobs, keys, serving, submitting, tenants
from farzi_client.cli.bench import bench
from farzi_client.cli.demo import demo
from farzi_client.cli.failures import EXIT_FAILED, EXIT_USAGE, describe, exit_code_of
from farzi_client.cli.output import make_console
from farzi_client.cli.shell_completion import completion, register
from farzi_client.errors import FarziClientError


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"farzi {importlib.metadata.version('farzi')}\n")
        raise typer.Exit


app = typer.Typer(
    help="Farzi: dataset distillation as a service for event sequences.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    pass


app.command()(serving.serve)
app.command()(serving.worker)
app.add_typer(serving.database, name="db")
app.add_typer(keys.app, name="keys")
app.add_typer(tenants.app, name="tenants")
app.add_typer(datasets.app, name="dataset")
app.command()(submitting.distill)
app.command()(submitting.evaluate)
app.command()(submitting.estimate)
app.add_typer(jobs.app, name="job")
app.command()(jobs.download)
app.command()(demo)
app.command()(bench)
app.command()(completion)


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit with its code."""
    register()
    try:
        app(args=arguments, prog_name="farzi")
    except FarziClientError as error:
        _fail(describe(error), exit_code_of(error))
    except OSError as error:
        # With a file name it is about a file that the command was given; without one it is about the machine.
        _fail(
            f"{error.strerror}: {error.filename}" if error.filename else str(error),
            EXIT_USAGE if error.filename else EXIT_FAILED,
        )


def _fail(message: str, code: int) -> None:
    make_console(stderr=True).print(f"farzi: {message}")
    sys.exit(code)
