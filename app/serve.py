"""``farzi serve``: the HTTP server, and in embedded mode the supervisor that runs the jobs, as one tree of processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import structlog
import uvicorn
from pydantic import SecretStr

from app.logging import configure_logging
from app.main import create_app
from app.migrate import DatabaseError, prepare
from app.settings import ENV_PREFIX, Settings, SettingsError, load_settings
from app.tenants.secret import load_secret

EXIT_OK, EXIT_WRONG_SETTINGS, EXIT_CANNOT_REACH = 0, 2, 3
# By name: nothing imports the worker, which needs packages that the API does without.
SUPERVISOR_MODULE = "worker.supervisor"
RESTART_WAIT_S = 2.0
STREAMS_GRACE_S = 10
KILL_AFTER_GRACE_S = 10.0

logger = structlog.get_logger(__name__)


def run(settings: Settings | None = None, *, address_file: Path | None = None) -> int:
    """Serve until told to stop; return an exit code, with one sentence on standard error where it is not 0.

    Args:
        settings: where the parts are; None reads the environment.
        address_file: written with the base URL once requests are answered, for who asked for port 0.
    """
    try:
        settings = settings or load_settings()
        configure_logging(settings)
        load_secret(settings)
        prepare(settings)
        listener = _listen(settings)
    except SettingsError as error:
        return _give_up(error, EXIT_WRONG_SETTINGS)
    except DatabaseError as error:
        return _give_up(error, EXIT_CANNOT_REACH)
    # Uvicorn raises the signal again when it has stopped; by default SIGTERM would end the process there, and the supervisor's
    # runs would lose what they did since their last checkpoint.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with listener, _supervising(settings):
        return _serve(settings, listener, address_file)


class Server(uvicorn.Server):
    """A server that says when it answers, and tells event streams to end before it waits for connections to close."""

    def __init__(self, config: uvicorn.Config, stopping: threading.Event, address: str, address_file: Path | None) -> None:
        super().__init__(config)
        self._stopping = stopping
        self._address = address
        self._address_file = address_file

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            logger.info("listening", address=self._address)
            if self._address_file is not None:
                _write_whole(self._address_file, self._address)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._stopping.set()
        super().handle_exit(sig, frame)


def _serve(settings: Settings, listener: socket.socket, address_file: Path | None) -> int:
    stopping = threading.Event()
    config = uvicorn.Config(
        create_app(settings, stopping),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=STREAMS_GRACE_S,
    )
    server = Server(config, stopping, _address_of(listener), address_file)
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:  # uvicorn raises the signal again once it has stopped in good order
        return EXIT_OK
    return EXIT_OK if server.started else EXIT_CANNOT_REACH


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


def _address_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if listener.family == socket.AF_INET6 else f"http://{host}:{port}"


@contextmanager
def _supervising(settings: Settings) -> Iterator[None]:
    """Keep the embedded supervisor running until the block ends; without a broker there is nobody else to run jobs."""
    if not settings.embedded:
        yield
        return
    keeper = _SupervisorKeeper(settings)
    try:
        yield
    finally:
        keeper.stop()


class _SupervisorKeeper:
    """Starts the supervisor, and again if it dies: the jobs are in the database, so that a new one goes on with them."""

    def __init__(self, settings: Settings) -> None:
        self._environment = {**os.environ, **environment_of(settings)}
        self._grace_s = settings.stop_grace_s + KILL_AFTER_GRACE_S
        self._stopping = threading.Event()
        self._process = self._start()
        self._thread = threading.Thread(target=self._keep, name="supervisor-keeper", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let the supervisor's runs write their checkpoints, then end it."""
        self._stopping.set()
        self._process.terminate()
        self._thread.join(self._grace_s)
        if self._process.poll() is None:
            logger.warning("the supervisor did not stop in time and is killed")
            self._process.kill()
            self._process.wait()

    def _keep(self) -> None:
        while True:
            exit_code = self._process.wait()
            if self._stopping.wait(RESTART_WAIT_S):
                return
            logger.error("the supervisor ended and is started again", exit_code=exit_code)
            self._process = self._start()
            if self._stopping.is_set():  # stop() may have terminated the one before
                self._process.terminate()

    def _start(self) -> subprocess.Popen[bytes]:
        # A session of its own: Ctrl-C is for the server, which then stops the supervisor in good order.
        # It is told who started it: by the time it looks, a killed server would have left it to another parent.
        command = [sys.executable, "-m", SUPERVISOR_MODULE, "--parent-pid", str(os.getpid())]
        return subprocess.Popen(  # noqa: S603
            command, env=self._environment, stdin=subprocess.DEVNULL, start_new_session=True
        )


def environment_of(settings: Settings) -> dict[str, str]:
    """Return the variables from which a child process reads the same settings."""
    variables = {}
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if value is not None:
            variables[ENV_PREFIX + name.upper()] = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    return variables


def _write_whole(path: Path, text: str) -> None:
    part = path.with_name(path.name + f".{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def _give_up(error: Exception, exit_code: int) -> int:
    sys.stderr.write(f"{error}\n")
    return exit_code


if __name__ == "__main__":
    sys.exit(run())
