"""A real HTTP server that misbehaves as it is told: the network as a client may meet it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Received:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class UnrulyServer:
    """Answers each (method, path without query) by its script, one step a request; the last step repeats."""

    url: str = ""
    scripts: dict[tuple[str, str], list[Callable[[Handler], None]]] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)

    def on(self, method: str, path: str, *steps: Callable[[Handler], None]) -> None:
        self.scripts[method, path] = list(steps)

    def requests(self, method: str, path: str) -> list[Received]:
        return [item for item in self.received if item.method == method and item.path.partition("?")[0] == path]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    behaviour: UnrulyServer

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.behaviour.received.append(Received(self.command, self.path, dict(self.headers.items()), body))
        steps = self.behaviour.scripts.get((self.command, self.path.partition("?")[0]))
        if not steps:
            problem(404, "not_found")(self)
            return
        step = steps.pop(0) if len(steps) > 1 else steps[0]
        step(self)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        return


def reply(value: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Callable[[Handler], None]:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return raw(content, status=status, headers={"Content-Type": "application/json", **(headers or {})})


def problem(status: int, code: str, *, headers: dict[str, str] | None = None, **extra: Any) -> Callable[[Handler], None]:
    body = {"title": code, "status": status, "detail": f"{code} happened", "code": code, "request_id": "req_1", **extra}
    return reply(body, status=status, headers={"Content-Type": "application/problem+json", **(headers or {})})


def raw(
    content: bytes, *, status: int = 200, headers: dict[str, str] | None = None, claim: int | None = None
) -> Callable[[Handler], None]:
    """Send ``content``; with ``claim``, promise that many bytes and hang up after those there are."""

    def step(handler: Handler) -> None:
        handler.send_response(status)
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(content) if claim is None else claim))
        handler.end_headers()
        handler.wfile.write(content)
        handler.close_connection = claim is not None

    return step


def hang_up(handler: Handler) -> None:
    """Take the request and close the connection without a word."""
    handler.close_connection = True


def sse(
    *events: tuple[int, str], data: dict[str, Any] | None = None, then: Callable[[Handler], object] | None = None
) -> Callable[[Handler], None]:
    """Stream events and close; ``then`` may keep the connection for a while."""

    def step(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(b": ping\n\n")
        for seq, kind in events:
            event = json.dumps({"seq": seq, "type": kind, "data": data or {}, "at": "2026-01-01T00:00:00Z"})
            handler.wfile.write(f"id: {seq}\nevent: {kind}\ndata: {event}\n\n".encode())
            handler.wfile.flush()
        if then is not None:
            then(handler)
        handler.close_connection = True

    return step


@contextmanager
def unruly_server() -> Iterator[UnrulyServer]:
    behaviour = UnrulyServer()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"behaviour": behaviour}))
    server.daemon_threads = True
    behaviour.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield behaviour
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
