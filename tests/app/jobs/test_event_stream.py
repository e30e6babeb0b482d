"""Events: in pages, and as they happen over a real connection."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx_sse import EventSource
from sqlalchemy import event
from starlette.testclient import TestClient

import app.jobs.event_stream
from app.jobs.models import JobEvent
from app.services import MAX_EVENT_STREAMS, Services
from tests.app.driving import ADMIN, RunningServer, claim_job, code_of, make_ready, say_something, submit, succeed


@pytest.fixture
def live(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers=ADMIN, timeout=30) as client:
        yield client


def read_stream(live: httpx.Client, job_id: str, **options: Any) -> list[tuple[str, str, dict[str, Any]]]:
    """Read the stream to its end."""
    with live.stream("GET", f"/v1/jobs/{job_id}/events/stream", **options) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        return [(message.id, message.event, json.loads(message.data)) for message in EventSource(response).iter_sse()]


def test_pages_of_events(client: TestClient, services: Services) -> None:
    job_id = submit(client, make_ready(client, services))
    say_something(services, claim_job(services, job_id))
    events = client.get(f"/v1/jobs/{job_id}/events").json()
    assert [event["seq"] for event in events["data"]] == [1, 2, 3, 4]
    assert [event["type"] for event in events["data"]][:2] == ["job.queued", "job.started"]
    page = client.get(f"/v1/jobs/{job_id}/events?after=1&limit=2").json()
    assert [event["seq"] for event in page["data"]] == [2, 3]
    assert page["has_more"] is True
    rest = client.get(f"/v1/jobs/{job_id}/events", params={"cursor": page["next_cursor"]}).json()
    assert [event["seq"] for event in rest["data"]] == [4]
    assert client.get(f"/v1/jobs/{job_id}/events?after=99").json()["data"] == []
    for query in ("after=-1", "after=x", f"after={2**63}"):
        assert code_of(client.get(f"/v1/jobs/{job_id}/events?{query}"), 422) == "invalid_request"


def test_events_arrive_while_the_job_runs_and_the_stream_ends_with_it(
    live: httpx.Client, server: RunningServer, tmp_path: Path
) -> None:
    job_id = submit(live, make_ready(live, server.services))
    arrived_at: dict[str, float] = {}
    happened_at: dict[str, float] = {}

    def work() -> None:
        time.sleep(0.3)
        lease = claim_job(server.services, job_id)
        say_something(server.services, lease)
        happened_at["validation.measured"] = time.monotonic()
        time.sleep(1.2)
        succeed(server.services, lease, tmp_path, {"report.json": b"{}"})

    thread = threading.Thread(target=work)
    thread.start()
    seen: list[int] = []
    with live.stream("GET", f"/v1/jobs/{job_id}/events/stream") as response:
        for message in EventSource(response).iter_sse():
            arrived_at[message.event] = time.monotonic()
            seen.append(int(message.id))
            assert json.loads(message.data)["seq"] == int(message.id)
    thread.join()
    assert seen == [1, 2, 3, 4, 5]
    assert list(arrived_at)[-1] == "job.succeeded"
    assert (
        arrived_at["validation.measured"] - happened_at["validation.measured"]
        < arrived_at["job.succeeded"] - happened_at["validation.measured"]
    )
    assert arrived_at["job.succeeded"] - arrived_at["validation.measured"] > 0.5, "all events came at the end"


def test_a_stream_goes_on_where_the_last_one_broke(live: httpx.Client, server: RunningServer) -> None:
    job_id = submit(live, make_ready(live, server.services))
    live.post(f"/v1/jobs/{job_id}/pause")
    live.post(f"/v1/jobs/{job_id}/cancel")
    assert [event for _, event, _ in read_stream(live, job_id)] == ["job.queued", "job.paused", "job.cancelled"]
    assert [id_ for id_, _, _ in read_stream(live, job_id, headers={"Last-Event-ID": "1"})] == ["2", "3"]
    assert [id_ for id_, _, _ in read_stream(live, job_id, params={"after": 2})] == ["3"]
    assert read_stream(live, job_id, headers={"Last-Event-ID": "3"}) == []
    for given in ("three", "-1", str(2**63), "9" * 5000):
        bad = live.get(f"/v1/jobs/{job_id}/events/stream", headers={"Last-Event-ID": given})
        assert code_of(bad, 422) == "invalid_request"


def test_a_stream_of_events_that_are_deleted_by_now_ends(live: httpx.Client, server: RunningServer) -> None:
    job_id = submit(live, make_ready(live, server.services))
    live.post(f"/v1/jobs/{job_id}/cancel")
    with server.services.sessions.begin() as session:
        session.query(JobEvent).filter_by(job_id=job_id).delete()
    assert read_stream(live, job_id) == []


def test_many_streams_cost_one_look(live: httpx.Client, server: RunningServer) -> None:
    dataset_id = make_ready(live, server.services)
    job_ids = [submit(live, dataset_id) for _ in range(4)]
    statements: list[str] = []
    event.listen(server.services.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    with ExitStack() as stack:
        streams = [stack.enter_context(live.stream("GET", f"/v1/jobs/{job_id}/events/stream")) for job_id in job_ids * 3]
        lines = [stream.iter_lines() for stream in streams]
        for each in lines:
            assert next(each) == ": connected"
        statements.clear()
        time.sleep(2.2)
        looks = [statement for statement in statements if "next_event_seq" in statement]
    assert 1 <= len(looks) <= 6, "one each half second, however many streams there are"


def test_a_silent_job_pings_and_holds_no_connection(
    live: httpx.Client, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.jobs.event_stream, "PING_S", 0.2)
    job_id = submit(live, make_ready(live, server.services))
    with live.stream("GET", f"/v1/jobs/{job_id}/events/stream") as response:
        text = ""
        for chunk in response.iter_text():
            text += chunk
            if ": ping\n\n" in text:
                break
        pool = server.services.engine.pool
        give_up_at = time.monotonic() + 10
        while pool.checkedout():  # type: ignore[attr-defined]  # for the moment of a look
            assert time.monotonic() < give_up_at, "a connection is held"
            time.sleep(0.01)


def test_streams_are_limited_and_given_back(live: httpx.Client, server: RunningServer) -> None:
    job_id = submit(live, make_ready(live, server.services))
    slots = server.services.stream_slots
    for _ in range(MAX_EVENT_STREAMS - 1):
        slots.acquire()
    with live.stream("GET", f"/v1/jobs/{job_id}/events/stream") as response:
        text = response.iter_text()
        next(text)
        full = live.get(f"/v1/jobs/{job_id}/events/stream")
        assert code_of(full, 429) == "too_many_streams"
        assert full.headers["retry-after"]
    assert slots.acquire(timeout=5), "the slot of a client that went away"


def test_a_server_that_stops_ends_its_streams(live: httpx.Client, server: RunningServer) -> None:
    job_id = submit(live, make_ready(live, server.services))
    with live.stream("GET", f"/v1/jobs/{job_id}/events/stream") as response:
        text = response.iter_text()
        next(text)
        server.services.stopping.set()
        started_at = time.monotonic()
        list(text)
        assert time.monotonic() - started_at < 5
