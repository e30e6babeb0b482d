"""``farzi serve``, ``farzi worker``, ``farzi db``: the server's own parts, loaded only when they are asked for."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Annotated, Literal

import typer

from farzi_client.cli.failures import UsageProblem
from farzi_client.cli.output import JsonOption, make_console

database = typer.Typer(help="The service's database.", no_args_is_help=True)

QueueName = Literal["gpu", "cpu"]


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; overrides FARZI_HOST.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port to listen on; overrides FARZI_PORT.")] = None,
    data_dir: Annotated[
        Path | None, typer.Option(file_okay=False, help="Where an embedded service keeps everything; overrides FARZI_DATA_DIR.")
    ] = None,
    address_file: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Written with the URL once requests are answered; for port 0.")
    ] = None,
) -> None:
    """Run the API; without a broker, its worker too."""
    is_embedded = not os.environ.get("FARZI_BROKER_URL")
    if is_embedded:
        require_installed("torch", "farzi serve", "server,worker")
    module = _load("app.serve", "farzi serve", "server,worker" if is_embedded else "server")
    for name, value in (("FARZI_HOST", host), ("FARZI_PORT", port), ("FARZI_DATA_DIR", data_dir)):
        if value is not None:
            os.environ[name] = str(value)
    if is_embedded:
        _provide_first_key()
    raise typer.Exit(module.run(address_file=address_file))


def worker(queue: Annotated[QueueName, typer.Option(help="gpu: training; cpu: parsing and housekeeping.")]) -> None:
    """Run the jobs of one queue, for a service with a broker."""
    require_installed("torch", "farzi worker", "worker")
    module = _load("worker.main", "farzi worker", "worker")
    raise typer.Exit(module.main(["--queue", queue]))


@database.command()
def upgrade() -> None:
    """Bring the database's tables up to this version."""
    module = load_server_module("app.migrate", "farzi db")
    raise typer.Exit(module.main())


@database.command()
def backup(
    directory: Annotated[Path, typer.Argument(file_okay=False, help="A new directory for the copy.", show_default=False)],
) -> None:
    """Copy an embedded service while it runs: database, objects and secret."""
    module = load_server_module("app.backup", "farzi db")
    raise typer.Exit(module.main(directory))


@database.command()
def reseal(as_json: JsonOption = False) -> None:
    """After a change of FARZI_SECRET_KEY: seal webhook secrets under the new one, and name those that no key opens."""
    module = load_server_module("app.webhooks.resealing", "farzi db")
    raise typer.Exit(module.main(as_json=as_json))


def _provide_first_key() -> None:
    """Make and show a key at the very first start, where somebody is there to see it: a log must hold no key."""
    settings_module = importlib.import_module("app.settings")
    try:
        settings = settings_module.load_settings()
    except settings_module.SettingsError:
        # What is started next reports it, in one sentence.
        return
    is_first_start = (
        settings.database_url is None and not Path(settings.resolved_database_url.removeprefix("sqlite:///")).exists()
    )
    if settings.bootstrap_api_key is None and is_first_start and sys.stderr.isatty():
        key = importlib.import_module("app.tenants.keys").make_key()
        os.environ["FARZI_BOOTSTRAP_API_KEY"] = key
        make_console(stderr=True).print(f"This is the first start. Your key, shown only now:\nexport FARZI_API_KEY={key}")


def require_installed(module: str, command: str, extras: str) -> None:
    """Raise unless ``module`` is installed, without importing it."""
    if importlib.util.find_spec(module) is None:
        raise UsageProblem(f"'{command}' needs more than the client; install it with: pip install 'farzi[{extras}]'")


def load_server_module(module: str, command: str) -> ModuleType:
    """Import a module of the server for a command that works on the service's own machine."""
    return _load(module, command, "server")


def load_worker_module(module: str, command: str) -> ModuleType:
    """Import a module that computes."""
    return _load(module, command, "worker")


def _load(module: str, command: str, extras: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        raise UsageProblem(f"'{command}' needs more than the client; install it with: pip install 'farzi[{extras}]'") from None
