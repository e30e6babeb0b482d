"""``farzi serve``: the HTTP server, and in embedded mode the supervisor that runs the jobs, as one tree of processes."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import SecretStr

from app.api_processes import serve_with_processes
from app.http_server import EXIT_CANNOT_REACH, serve
from app.kept_process import KeptProcess
from app.logging import configure_logging
from app.migrate import DatabaseError, prepare
from app.settings import ENV_PREFIX, Settings, SettingsError, load_settings
from app.tenants.secret import load_secret
from app.tracing import configure_tracing

EXIT_WRONG_SETTINGS = 2
# By name: nothing imports the worker, which needs packages that the API does without.
SUPERVISOR_MODULE = "worker.supervisor"
KILL_AFTER_GRACE_S = 10.0


def run(settings: Settings | None = None, *, address_file: Path | None = None) -> int:
    """Serve until told to stop; return an exit code, with one sentence on standard error where it is not 0.

    Args:
        settings: where the parts are; None reads the environment.
        address_file: written with the base URL once requests are answered, for who asked for port 0.
    """
    try:
        settings = settings or load_settings()
        configure_logging(settings)
        configure_tracing("farzi-api")
        load_secret(settings)
        prepare(settings)
        listener = _listen(settings)
    except SettingsError as error:
        return _give_up(error, EXIT_WRONG_SETTINGS)
    except DatabaseError as error:
        return _give_up(error, EXIT_CANNOT_REACH)
    # A signal has to leave through the blocks below, which end what was started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with listener, _supervising(settings):
        if settings.api_processes > 1:
            return serve_with_processes(settings.api_processes, listener, environment_of(settings), address_file)
        return serve(settings, listener, address_file)


def _listen(settings: Settings) -> socket.socket:
    try:
        family, kind, protocol, _name, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SettingsError(
            f"FARZI_HOST, FARZI_PORT: cannot listen on {settings.host} port {settings.port}: {reason}; choose another one"
        ) from None
    return listener


@contextmanager
def _supervising(settings: Settings) -> Iterator[None]:
    """Keep the embedded supervisor running until the block ends; without a broker there is nobody else to run jobs."""
    if not settings.embedded:
        yield
        return
    patience_s = settings.stop_grace_s + KILL_AFTER_GRACE_S
    supervisor = KeptProcess("supervisor", [SUPERVISOR_MODULE], environment_of(settings), patience_s)
    try:
        yield
    finally:
        supervisor.stop()


def environment_of(settings: Settings) -> dict[str, str]:
    """Return the variables from which a child process reads the same settings."""
    variables = {}
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if value is not None:
            variables[ENV_PREFIX + name.upper()] = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    return variables


def _give_up(error: Exception, exit_code: int) -> int:
    sys.stderr.write(f"{error}\n")
    return exit_code


if __name__ == "__main__":
    sys.exit(run())
