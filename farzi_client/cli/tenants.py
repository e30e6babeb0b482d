"""``farzi tenants``: the operator's commands, on the service's own database; loaded only when they are asked for."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from farzi_client.cli.failures import DatabaseUnusable, UsageProblem
from farzi_client.cli.listing import Listing
from farzi_client.cli.output import JsonOption, Output, QuietOption
from farzi_client.cli.serving import load_server_module

app = typer.Typer(help="Teams that share this service; run on its machine, with its settings.", no_args_is_help=True)

TenantArgument = Annotated[str, typer.Argument(metavar="TENANT", help="Its id or its name.", show_default=False)]
QUOTAS = ("stored_bytes", "datasets", "active_jobs", "gpu_seconds_per_month", "cpu_seconds_per_month")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What the team is called.", show_default=False)],
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Make a tenant and print its first admin key; it is shown this once."""
    output = Output(as_json=as_json, quiet=quiet)
    with operating() as operator:
        made = operator.create_tenant(name)
    output.remark(f"{made['id']} is {made['name']!r}; this is the only time that its admin key is shown:")
    output.result(made, lambda console: console.print(made["key"]))


@app.command("list")
def list_tenants(as_json: JsonOption = False, quiet: QuietOption = False) -> None:
    """List tenants with their limits; those in brackets are the settings'."""
    output = Output(as_json=as_json, quiet=quiet)
    with operating() as operator:
        tenants = operator.list_tenants()
    quotas = [name.replace("_", " ") for name in QUOTAS]
    listing = Listing("id", "name", "created", *quotas, named="name", spared=("created", *reversed(quotas)))
    for tenant in tenants:
        listing.add(tenant["id"], tenant["name"], tenant["created_at"][:10], *(_limit(tenant, name) for name in QUOTAS))
    output.result(tenants, listing.print)


@app.command()
def quota(
    tenant: TenantArgument,
    *,
    stored_bytes: Annotated[int | None, typer.Option(min=0, help="Bytes of uploads and artifacts.")] = None,
    datasets: Annotated[int | None, typer.Option(min=0, help="Data sets.")] = None,
    active_jobs: Annotated[int | None, typer.Option(min=0, help="Jobs that are not over.")] = None,
    gpu_seconds_per_month: Annotated[int | None, typer.Option(min=0, help="Seconds of runs on queue gpu.")] = None,
    cpu_seconds_per_month: Annotated[int | None, typer.Option(min=0, help="Seconds of runs on queue cpu.")] = None,
    reset: Annotated[bool, typer.Option("--reset", help="First give every limit back to the settings.")] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Set limits of a tenant that differ from the settings; without options, show them."""
    given = dict(zip(QUOTAS, (stored_bytes, datasets, active_jobs, gpu_seconds_per_month, cpu_seconds_per_month), strict=True))
    changes = dict.fromkeys(QUOTAS) if reset else {}
    changes |= {name: limit for name, limit in given.items() if limit is not None}
    output = Output(as_json=as_json, quiet=quiet)
    with operating() as operator:
        changed = operator.set_quotas(tenant, changes)
    listing = Listing("quota", "limit")
    for name in QUOTAS:
        listing.add(name.replace("_", " "), _limit(changed, name))
    output.result(changed, listing.print)


@contextmanager
def operating() -> Iterator[Any]:
    """Yield the operator's session; what is wrong with the settings, the database or the input becomes one sentence."""
    module = load_server_module("app.tenants.operator", "farzi tenants")
    settings, migrate = importlib.import_module("app.settings"), importlib.import_module("app.migrate")
    errors = importlib.import_module("app.errors")
    try:
        with module.operating() as operator:
            yield operator
    except (settings.SettingsError, module.OperatorError) as error:
        raise UsageProblem(str(error)) from None
    except migrate.DatabaseError as error:
        raise DatabaseUnusable(str(error)) from None
    except errors.ServiceError as error:
        raise UsageProblem(error.message) from None


def _limit(tenant: dict[str, Any], name: str) -> str:
    limit = tenant["limits"][name]
    shown = "no limit" if limit is None else f"{limit:,}"
    return shown if name in tenant["own_limits"] else f"({shown})"
