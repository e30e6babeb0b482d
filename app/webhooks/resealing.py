"""Webhook secrets after FARZI_SECRET_KEY has changed: what an earlier key sealed is sealed anew under the one of now."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from app.db import make_engine, make_session_factory
from app.migrate import DatabaseError, prepare
from app.settings import SettingsError, load_settings
from app.tenants.secret import load_secrets
from app.webhooks.models import WebhookEndpoint
from app.webhooks.sealing import SecretBox, UnreadableSecretError

BATCH = 200
SECRETS = ("secret", "previous_secret")


@dataclass(frozen=True)
class Resealing:
    """What came of it.

    Attributes:
        num_endpoints: endpoints there are.
        num_sealed_anew: secrets that an earlier key had sealed.
        unreadable: ids of endpoints with a secret that no key opens; it was left as it is.
    """

    num_endpoints: int
    num_sealed_anew: int
    unreadable: tuple[str, ...]


def main(*, as_json: bool = False) -> int:
    """Seal the secrets of the environment's service anew, say what came of it, and return an exit code."""
    try:
        settings = load_settings()
        prepare(settings)
        secrets = load_secrets(settings)
    except (SettingsError, DatabaseError) as error:
        sys.stderr.write(f"{error}\n")
        return 2 if isinstance(error, SettingsError) else 3
    engine = make_engine(settings)
    try:
        found = reseal(make_session_factory(engine), SecretBox(secrets.current, secrets.previous))
    finally:
        engine.dispose()
    sys.stdout.write(f"{json.dumps(asdict(found)) if as_json else _say(found)}\n")
    return 1 if found.unreadable else 0


def reseal(sessions: sessionmaker[Session], box: SecretBox) -> Resealing:
    """Go through every endpoint, some at a time; several processes may do so at once."""
    num_endpoints = num_sealed_anew = 0
    unreadable: list[str] = []
    last_id = ""
    while True:
        with sessions.begin() as session:
            some = select(WebhookEndpoint).where(WebhookEndpoint.id > last_id).order_by(WebhookEndpoint.id).limit(BATCH)
            rows = session.scalars(some.with_for_update(key_share=True)).all()
            for row in rows:
                try:
                    num_sealed_anew += _reseal_row(row, box)
                except UnreadableSecretError:
                    unreadable.append(row.id)
        num_endpoints += len(rows)
        if len(rows) < BATCH:
            return Resealing(num_endpoints, num_sealed_anew, tuple(unreadable))
        last_id = rows[-1].id


def _reseal_row(row: WebhookEndpoint, box: SecretBox) -> int:
    """Seal what is not current; what cannot be opened stops the row at that point."""
    num_sealed_anew = 0
    for name in SECRETS:
        sealed = getattr(row, name)
        if sealed is not None and not box.is_current(row.id, sealed):
            setattr(row, name, box.seal(row.id, box.open(row.id, sealed)))
            num_sealed_anew += 1
    return num_sealed_anew


def _say(found: Resealing) -> str:
    said = f"{found.num_endpoints} webhook endpoints; {found.num_sealed_anew} secrets sealed anew under FARZI_SECRET_KEY."
    if not found.unreadable:
        return said
    return (
        f"{said}\n{len(found.unreadable)} cannot be opened by any key: name the key they were sealed under in "
        f"FARZI_SECRET_KEY_PREVIOUS, or rotate their secrets: {', '.join(found.unreadable)}"
    )
