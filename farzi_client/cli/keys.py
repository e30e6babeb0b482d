"""``farzi keys``: create, list, revoke."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from farzi_client.cli.failures import CommandFailed
from farzi_client.cli.listing import Listing
from farzi_client.cli.output import JsonOption, Output, QuietOption
from farzi_client.cli.shell_completion import complete_key
from farzi_client.cli.tenants import operating
from farzi_client.client import Client
from farzi_client.models import ApiKey

app = typer.Typer(help="API keys of your team; needs a key of scope admin.", no_args_is_help=True)

DEFAULT_SCOPES = ["datasets:read", "datasets:write", "jobs:read", "jobs:write"]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for.", show_default=False)],
    *,
    scope: Annotated[
        list[str] | None,
        typer.Option(help=f"Scope; may be repeated. Default: {' '.join(DEFAULT_SCOPES)}", show_default=False),
    ] = None,
    tenant: Annotated[
        str | None,
        typer.Option(help="On the service's machine: make the key of this tenant in its database, without the API."),
    ] = None,
    expires_in_days: Annotated[int | None, typer.Option(min=1, help="Days until it expires; default: never.")] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Create a key and print it; it is shown this once."""
    output = Output(as_json=as_json, quiet=quiet)
    expires_at = None if expires_in_days is None else datetime.now(UTC) + timedelta(days=expires_in_days)
    key = _create(name, scope or DEFAULT_SCOPES, expires_at, tenant)
    if key.key is None:
        # The service does not keep secrets, so a repeat of a request whose answer was lost comes without it.
        raise CommandFailed(f"{key.id} was created, but its secret was lost on the way; revoke it and create another one")
    output.remark(f"{key.id} ({', '.join(key.scopes)}); this is the only time that the key is shown:")
    output.result(dict(key.raw), lambda console: console.print(key.key))


def _create(name: str, scopes: list[str], expires_at: datetime | None, tenant: str | None) -> ApiKey:
    if tenant is None:
        with Client() as client:
            return client.keys.create(name, scopes=scopes, expires_at=expires_at)
    with operating() as operator:
        return ApiKey.from_json(operator.create_key(tenant, name, scopes, expires_at))


@app.command("list")
def list_keys(as_json: JsonOption = False, quiet: QuietOption = False) -> None:
    """List keys; without their secrets, which nobody has."""
    output = Output(as_json=as_json, quiet=quiet)
    with Client() as client:
        keys = list(client.keys.list())
    columns = ("id", "name", "scopes", "expires", "last used", "revoked")
    listing = Listing(*columns, named="name", spared=("scopes", "expires", "last used"))
    for key in keys:
        times = (key.expires_at, key.last_used_at, key.revoked_at)
        listing.add(key.id, key.name, " ".join(key.scopes), *(at.strftime("%Y-%m-%d %H:%M") if at else "-" for at in times))
    output.result([dict(key.raw) for key in keys], listing.print)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", show_default=False, autocompletion=complete_key)],
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Make a key worthless at once."""
    output = Output(as_json=as_json, quiet=quiet)
    with Client() as client:
        client.keys.revoke(key_id)
    output.result({"id": key_id, "revoked": True}, lambda console: console.print(f"revoked {key_id}"))
