"""Shell completion: ``farzi completion SHELL`` prints the script; where an id is due, Tab asks the service for its newest."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Annotated, Any, Literal

import typer
from typer.completion import completion_init, get_completion_script  # type: ignore[attr-defined]

from farzi_client.client import Client
from farzi_client.errors import FarziClientError

VARIABLE = "_FARZI_COMPLETE"
NUM_OFFERED = 50
# Who presses Tab waits for the prompt.
PATIENCE_S = 2.0
Shell = Literal["bash", "zsh", "fish"]
Offers = list[tuple[str, str]]


def register() -> None:
    """Get ready to answer what the script of a shell asks with the variable set."""
    if VARIABLE in os.environ:
        completion_init()


def completion(shell: Annotated[Shell, typer.Argument(help="Whose script.", show_default=False)]) -> None:
    """Print the script that completes commands, options and ids in a shell."""
    sys.stdout.write(get_completion_script(prog_name="farzi", complete_var=VARIABLE, shell=shell) + "\n")


def complete_dataset(incomplete: str) -> Offers:
    """Return data sets whose id begins so."""
    return _offer(
        incomplete, "ds_", lambda client: ((item.id, f"{item.name}, {item.status}") for item in client.datasets.list())
    )


def complete_job(incomplete: str) -> Offers:
    """Return jobs whose id begins so."""
    return _offer(incomplete, "job_", lambda client: ((job.id, _describe(job)) for job in client.jobs.list()))


def complete_key(incomplete: str) -> Offers:
    """Return keys whose id begins so."""
    return _offer(incomplete, "key_", lambda client: ((key.id, key.name) for key in client.keys.list()))


def complete_dataset_or_job(incomplete: str) -> Offers:
    return [*complete_dataset(incomplete), *complete_job(incomplete)]


def _describe(job: Any) -> str:
    name = job.metadata.get("name")
    return f"{name}, {job.status}" if name else f"{job.kind}, {job.status}"


def _offer(incomplete: str, prefix: str, ask: Callable[[Client], Iterable[tuple[str, str]]]) -> Offers:
    if not (prefix.startswith(incomplete) or incomplete.startswith(prefix)):
        return []
    try:
        with Client(timeout_s=PATIENCE_S, max_retries=0) as client:
            newest = list(islice(ask(client), NUM_OFFERED))
    except FarziClientError:  # a prompt is no place for errors; the command itself tells them
        return []
    return [(id_, said) for id_, said in newest if id_.startswith(incomplete)]
