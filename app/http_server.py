"""Answer requests on a socket until told to stop; ``python -m app.http_server`` is one API process of several."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import threading
from pathlib import Path

import structlog
import uvicorn

from app.http_protocol import ProblemProtocol
from app.kept_process import call_when_orphaned
from app.logging import configure_logging
from app.main import create_app
from app.settings import Settings, load_settings
from app.tracing import configure_tracing

EXIT_OK, EXIT_CANNOT_REACH = 0, 3
STREAMS_GRACE_S = 10

logger = structlog.get_logger(__name__)


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
                write_whole(self._address_file, self._address)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Not in the signal's handler: a second signal there would wait for the event's lock, which the first one holds.
        self._stopping.set()
        await super().shutdown(sockets)


def serve(settings: Settings, listener: socket.socket, address_file: Path | None) -> int:
    """Answer requests until a signal comes, then finish those that are under way; return an exit code."""
    # Uvicorn raises the signal again when it has stopped; by default SIGTERM would end the process there, and whoever called
    # could not clean up.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    stopping = threading.Event()
    config = uvicorn.Config(
        create_app(settings, stopping),
        http=ProblemProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=STREAMS_GRACE_S,
    )
    server = Server(config, stopping, address_of(listener), address_file)
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        return EXIT_OK
    return EXIT_OK if server.started else EXIT_CANNOT_REACH


def address_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if listener.family == socket.AF_INET6 else f"http://{host}:{port}"


def write_whole(path: Path, text: str) -> None:
    """Write a file so that who looks for it sees all of it or nothing."""
    part = path.with_name(path.name + f".{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def main() -> int:
    """Serve on a socket that the parent opened and hands down."""
    parser = argparse.ArgumentParser(prog="python -m app.http_server")
    parser.add_argument("--socket-fd", type=int, required=True)
    parser.add_argument("--address-file", type=Path, required=True)
    parser.add_argument("--parent-pid", type=int, required=True)
    arguments = parser.parse_args()
    settings = load_settings()
    configure_logging(settings)
    configure_tracing("farzi-api")
    call_when_orphaned(arguments.parent_pid, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with socket.socket(fileno=arguments.socket_fd) as listener:
        return serve(settings, listener, arguments.address_file)


if __name__ == "__main__":
    sys.exit(main())
