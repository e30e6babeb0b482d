"""A TCP proxy that misbehaves on demand: it stands between the service and its database, broker or object store.

It knows nothing of the service. Of HTTP it knows where a request begins, of Postgres what bytes are looked for in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import socket
import threading
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

READ_BYTES = 1 << 16
LINGER_S = 0.05
SILENT_POLL_S = 0.05
REQUEST = re.compile(rb"(GET|HEAD|PUT|POST|DELETE) /")
BODY_BYTES = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@dataclass
class Faults:
    """What goes wrong; all may be changed while connections are open.

    Attributes:
        latency_s: every HTTP request, or every chunk of another protocol, waits as long before it goes on.
        error_rate: share of HTTP requests that are answered 503 and never arrive.
        reset_rate: share of HTTP requests with a body whose connection is reset in the middle of it.
        cut_at: bytes; a connection whose client sends them is cut, with ``cut_rate``.
        cut_rate: share of such chunks.
        cut_after: whether they arrive before the cut, so that only the answer is lost.
        is_silent: connections are taken and kept, and what is sent on them goes no further, either way, until this ends.
    """

    latency_s: float = 0.0
    error_rate: float = 0.0
    reset_rate: float = 0.0
    cut_at: bytes | None = None
    cut_rate: float = 0.0
    cut_after: bool = False
    is_silent: bool = False


@dataclass(eq=False)
class _Connection:
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    reset_after_bytes: int | None = None
    answer_is_lost: bool = False

    def cut(self) -> None:
        """Reset both sides: no orderly end, as when a machine is lost."""
        for writer in (self.client, self.server):
            linger_nothing(writer)
            writer.transport.abort()


@dataclass
class FaultProxy:
    """A proxy to ``target``: the path of a Unix socket, or host and port. It listens on a free port of its own."""

    target: str | tuple[str, int]
    http: bool = False
    seed: int = 0
    faults: Faults = field(default_factory=Faults)
    counts: Counter[str] = field(default_factory=Counter)
    port: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self._thread.start()
        self.come_back()

    def come_back(self) -> None:
        """Take connections again."""
        self._do(self._listen())

    def go_away(self) -> None:
        """Refuse connections and cut those there are."""
        self._do(self._stop_listening())
        self.cut_all()

    def cut_all(self) -> None:
        self._do(self._cut_all())

    def close(self) -> None:
        self.faults.is_silent = False
        self.go_away()
        self._do(self._finish())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, reuse_address=True)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _cut_all(self) -> None:
        for connection in list(self._connections):
            self.counts["cut"] += 1
            connection.cut()

    async def _finish(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if isinstance(self.target, str):
                server_reader, server = await asyncio.open_unix_connection(self.target)
            else:
                server_reader, server = await asyncio.open_connection(*self.target)
        except OSError:
            linger_nothing(writer)
            writer.transport.abort()
            return
        connection = _Connection(writer, server)
        self._connections.add(connection)
        self.counts["connections"] += 1
        try:
            await asyncio.gather(self._requests(reader, connection), self._answers(server_reader, connection))
        except (OSError, asyncio.IncompleteReadError):
            connection.cut()
        finally:
            self._connections.discard(connection)
            for side in (writer, server):
                side.close()

    async def _requests(self, reader: asyncio.StreamReader, connection: _Connection) -> None:
        while chunk := await reader.read(READ_BYTES):
            await self._speech()
            if self.http and REQUEST.match(chunk):
                if await self._refused(chunk, connection):
                    return
            elif not self.http and self.faults.latency_s:
                await asyncio.sleep(self.faults.latency_s)
            if self._is_cut_before(chunk, connection):
                return
            connection.server.write(chunk)
            await connection.server.drain()
        if connection.server.can_write_eof():
            connection.server.write_eof()

    async def _answers(self, reader: asyncio.StreamReader, connection: _Connection) -> None:
        while chunk := await reader.read(READ_BYTES):
            await self._speech()
            if connection.answer_is_lost:
                self.counts["answers lost"] += 1
                connection.cut()
                return
            connection.client.write(chunk)
            await connection.client.drain()
        connection.client.close()

    async def _speech(self) -> None:
        """Wait until silence is over."""
        if self.faults.is_silent:
            self.counts["kept silent"] += 1
        while self.faults.is_silent:
            await asyncio.sleep(SILENT_POLL_S)

    async def _refused(self, chunk: bytes, connection: _Connection) -> bool:
        """Decide over a request that begins; return whether it goes no further."""
        self.counts["requests"] += 1
        if self.faults.latency_s:
            self.counts["delayed"] += 1
            await asyncio.sleep(self.faults.latency_s)
        if self._random.random() < self.faults.error_rate:
            self.counts["errors"] += 1
            connection.client.write(UNAVAILABLE)
            await connection.client.drain()
            await asyncio.sleep(LINGER_S)  # the answer is read before the reset of a body that nobody reads
            connection.cut()
            return True
        body = BODY_BYTES.search(chunk)
        if body is not None and int(body[1]) > 1 and self._random.random() < self.faults.reset_rate:
            connection.reset_after_bytes = self._random.randrange(1, int(body[1])) + chunk.find(b"\r\n\r\n") + 4
        return False

    def _is_cut_before(self, chunk: bytes, connection: _Connection) -> bool:
        """Cut the connection if this chunk is the one; what may still arrive of it is sent first."""
        if connection.reset_after_bytes is not None:
            connection.reset_after_bytes -= len(chunk)
            if connection.reset_after_bytes <= 0:
                self.counts["resets"] += 1
                connection.server.write(chunk[: connection.reset_after_bytes or None])
                connection.cut()
                return True
        wanted = self.faults.cut_at
        if wanted is not None and wanted in chunk and self._random.random() < self.faults.cut_rate:
            if self.faults.cut_after:
                connection.answer_is_lost = True
                return False
            self.counts["cut before"] += 1
            connection.cut()
            return True
        return False


def linger_nothing(writer: asyncio.StreamWriter) -> None:
    """Let the end of the connection be a reset."""
    raw = writer.get_extra_info("socket")
    if raw is not None and raw.family != socket.AF_UNIX:
        with contextlib.suppress(OSError):  # closed by the other side already
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
