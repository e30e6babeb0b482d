"""A stream that breaks off again and again: what was seen is every event, once, in order."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from app.clock import database_now
from app.jobs.events import EventType, append_event
from tests.app.driving import ADMIN, ADMIN_KEY, RunningServer, make_ready, submit

NUM_RECONNECTS = 1000
NUM_EVENTS = 2000
LONGEST_READ = 500  # bytes of the body; an event has about 200


@pytest.fixture
def live(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers=ADMIN, timeout=30) as client:
        yield client


def open_stream(server: RunningServer, job_id: str, last_id: int | None, receive_bytes: int | None = None) -> socket.socket:
    parts = urlsplit(server.url)
    assert parts.hostname is not None
    assert parts.port is not None
    connection = socket.socket()
    if receive_bytes is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    connection.settimeout(30)
    connection.connect((parts.hostname, parts.port))
    resume = "" if last_id is None else f"Last-Event-ID: {last_id}\r\n"
    head = f"GET /v1/jobs/{job_id}/events/stream HTTP/1.1\r\nHost: farzi\r\nAuthorization: Bearer {ADMIN_KEY}\r\n{resume}\r\n"
    connection.sendall(head.encode())
    return connection


def body_of(received: bytes) -> bytes:
    return received.partition(b"\r\n\r\n")[2]


def whole_ids(received: bytes) -> list[int]:
    """Return the ids of the events that arrived whole, as a browser would dispatch them."""
    text = body_of(received).replace(b"\r\n", b"\n")
    blocks = text.split(b"\n\n")[:-1]
    return [int(line[4:]) for block in blocks for line in block.split(b"\n") if line.startswith(b"id: ")]


def write_events(server: RunningServer, job_id: str, num_events: int, data: str = "") -> None:
    with server.services.sessions.begin() as session:
        for _ in range(num_events):
            append_event(session, job_id, EventType.VALIDATION_MEASURED, {"text": data}, at=database_now(session))


def test_after_a_thousand_reconnects_nothing_is_missing_and_nothing_came_twice(
    live: httpx.Client, server: RunningServer
) -> None:
    job_id = submit(live, make_ready(live, server.services))
    chosen = random.Random(0)

    def write() -> None:
        for _ in range(NUM_EVENTS // 10):
            write_events(server, job_id, 10)
            time.sleep(chosen.uniform(0, 0.02))

    writer = threading.Thread(target=write)
    writer.start()
    seen: list[int] = []
    num_with_events = num_torn = 0
    for _ in range(NUM_RECONNECTS):
        with open_stream(server, job_id, seen[-1] if seen else None) as connection:
            received, enough = b"", chosen.randint(1, LONGEST_READ)
            connection.settimeout(0.02 if seen and seen[-1] > NUM_EVENTS else 1.0)
            try:
                while len(body_of(received)) < enough and (piece := connection.recv(chosen.randint(1, 400))):
                    received += piece
            except TimeoutError:
                pass
            found = whole_ids(received)
            seen += found
            num_with_events += bool(found)
            num_torn += not body_of(received).endswith(b"\n\n\r\n")
    writer.join()
    assert num_with_events > NUM_RECONNECTS * 0.6, "most connections bring something on"
    assert num_torn > NUM_RECONNECTS * 0.3, "many break off within an event"
    live.post(f"/v1/jobs/{job_id}/cancel")
    with open_stream(server, job_id, seen[-1] if seen else None) as connection:
        received = b""
        while piece := connection.recv(65536):
            received += piece
            if received.endswith(b"0\r\n\r\n"):
                break
    seen += whole_ids(received)
    assert seen == list(range(1, NUM_EVENTS + 3)), "queued, those that were written, cancelled"


def test_slow_readers_hold_no_connection_to_the_database(live: httpx.Client, server: RunningServer) -> None:
    """More readers than connections, none of which reads; the service answers all the same."""
    job_id = submit(live, make_ready(live, server.services))
    write_events(server, job_id, 150, "x" * 20_000)
    pool = server.services.engine.pool
    num_readers = 40
    readers = [open_stream(server, job_id, None, receive_bytes=4096) for _ in range(num_readers)]
    try:
        assert num_readers > pool.size() + pool._max_overflow  # type: ignore[attr-defined]
        give_up_at = time.monotonic() + 30
        while server.services.stream_slots._value > 500 - num_readers:
            assert time.monotonic() < give_up_at, "not all streams were opened"
            time.sleep(0.05)
        for _ in range(20):
            assert live.get(f"/v1/jobs/{job_id}").status_code == 200
        while pool.checkedout():  # type: ignore[attr-defined]
            assert time.monotonic() < give_up_at, "a reader that does not read holds a connection"
            time.sleep(0.05)
    finally:
        for reader in readers:
            reader.close()
