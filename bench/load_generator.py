"""A generator of load: one request again and again over kept connections, as fast as it goes or steadily, and open streams."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

CONNECTIONS = 16
STEADY_PER_S = 20
PERCENTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True)
class Call:
    """One HTTP request that is sent again and again."""

    port: int
    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def wire(self) -> bytes:
        lines = [f"{self.method} {self.path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", f"Content-Length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body


@dataclass
class Answers:
    """What came back: seconds of each answer, and how often each status."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def summary(self, took_s: float) -> dict[str, Any]:
        ordered = sorted(self.seconds)
        at = {name: round(1000 * ordered[int(share * (len(ordered) - 1))], 2) for name, share in PERCENTILES.items()}
        return {
            "answers": len(ordered),
            "per_s": round(len(ordered) / took_s, 1),
            "ms": at,
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
        }


async def as_fast_as_it_goes(call: Call, seconds: float) -> dict[str, Any]:
    """Send the next request when the last is answered, on every connection."""
    answers, began = Answers(), time.perf_counter()

    async def repeat() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", call.port)
        while time.perf_counter() - began < seconds:
            await _exchange(reader, writer, call.wire, time.perf_counter(), answers)
        writer.close()

    await asyncio.gather(*(repeat() for _ in range(CONNECTIONS)))
    return answers.summary(time.perf_counter() - began)


async def at_a_steady_rate(call: Call, seconds: float) -> dict[str, Any]:
    """Send requests at fixed moments, whether or not the server keeps up; late ones count from when they were due."""
    answers, began = Answers(), time.perf_counter()
    due = asyncio.Queue[float]()

    async def repeat() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", call.port)
        while (due_at := await due.get()) >= 0:
            await _exchange(reader, writer, call.wire, due_at, answers)
        writer.close()

    workers = [asyncio.create_task(repeat()) for _ in range(CONNECTIONS)]
    for number in range(int(seconds * STEADY_PER_S)):
        due_at = began + number / STEADY_PER_S
        await asyncio.sleep(max(0.0, due_at - time.perf_counter()))
        due.put_nowait(due_at)
    for _ in workers:
        due.put_nowait(-1.0)
    await asyncio.gather(*workers)
    return answers.summary(time.perf_counter() - began)


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wire: bytes, since: float, answers: Answers
) -> None:
    writer.write(wire)
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = head.partition("content-length:")[2].partition("\r\n")[0]
    await reader.readexactly(int(length))
    answers.seconds.append(time.perf_counter() - since)
    answers.statuses[int(head[9:12])] += 1


@contextlib.asynccontextmanager
async def open_streams(call: Call, count: int) -> Any:
    """Keep event streams open and read; yields how many were answered 200, and fails if one ends before the block does."""
    ended: list[int] = []

    async def read(reader: asyncio.StreamReader, number: int) -> None:
        while await reader.read(65536):
            pass
        ended.append(number)

    writers, tasks = [], []
    for number in range(count):
        reader, writer = await asyncio.open_connection("127.0.0.1", call.port)
        writer.write(call.wire)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        writers.append(writer)
        tasks.append(asyncio.create_task(read(reader, number)))
    yield len(writers)
    assert not ended, f"{len(ended)} streams ended early"
    for task in tasks:
        task.cancel()
    for writer in writers:
        writer.close()
