"""Whether the parts that the service stands on can be used now; a part that says nothing is down after two seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog
from sqlalchemy import text

from app.migrate import is_current
from app.services import Services

CHECK_TIMEOUT_S = 2.0

logger = structlog.get_logger(__name__)


def check_parts(services: Services) -> dict[str, str]:
    """Return ``ok``, or what is wrong, for each part by its name."""
    checks: dict[str, Callable[[Services], str | None]] = {
        "database": _check_database,
        "migrations": _check_migrations,
        "storage": _check_storage,
    }
    if services.settings.broker_url is not None:
        checks["broker"] = _check_broker
    found: dict[str, str] = {}
    # Daemon threads, all at once: one that hangs must keep neither this answer nor the end of the process waiting.
    threads = [
        threading.Thread(target=_run, args=(name, check, services, found), name=f"check-{name}", daemon=True)
        for name, check in checks.items()
    ]
    for thread in threads:
        thread.start()
    give_up_at = time.monotonic() + CHECK_TIMEOUT_S
    for thread in threads:
        thread.join(max(0.0, give_up_at - time.monotonic()))
    return {name: found.get(name, f"down: no answer within {CHECK_TIMEOUT_S:g} s") for name in checks}


def _run(name: str, check: Callable[[Services], str | None], services: Services, found: dict[str, str]) -> None:
    try:
        found[name] = check(services) or "ok"
    except Exception as error:  # whatever it is, the part cannot be used
        logger.warning("a part is down", part=name, exc_info=error)
        found[name] = f"down: {type(error).__name__}"


def _check_database(services: Services) -> None:
    with services.engine.connect() as connection:
        connection.execute(text("SELECT 1"))


def _check_migrations(services: Services) -> str | None:
    return None if is_current(services.engine) else "behind: run 'farzi db upgrade'"


def _check_storage(services: Services) -> None:
    services.store.check()


def _check_broker(services: Services) -> None:
    import redis  # noqa: PLC0415  embedded mode starts without it

    assert services.settings.broker_url is not None
    timeouts = {"socket_connect_timeout": CHECK_TIMEOUT_S, "socket_timeout": CHECK_TIMEOUT_S}
    with redis.Redis.from_url(services.settings.broker_url, **timeouts) as client:
        client.ping()
