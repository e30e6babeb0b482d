"""Following a job over streams that break, lie and fall silent."""

from __future__ import annotations

import threading
from contextlib import suppress

import pytest

from farzi_client import ApiError, Client, Job, JobEvent, JobFailed, WaitTimeout, following
from tests.farzi_client.unruly_server import Handler, UnrulyServer, hang_up, problem, raw, reply, sse

STREAM, EVENTS, JOB = "/v1/jobs/job_1/events/stream", "/v1/jobs/job_1/events", "/v1/jobs/job_1"
RUNNING = reply({"id": "job_1", "status": "running", "progress": {"step": 1, "total": 2, "fraction": 0.5}})
SUCCEEDED = reply({"id": "job_1", "status": "succeeded"})
NO_EVENTS = reply({"data": [], "has_more": False, "next_cursor": None})


def event(seq: int, kind: str) -> dict[str, object]:
    return {"seq": seq, "type": kind, "data": {}, "at": "2026-01-01T00:00:00Z"}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "POLL_S", 0.02)


def wait_for_events(client: Client) -> list[tuple[int, str]]:
    seen: list[JobEvent] = []
    client.jobs.wait("job_1", on_event=seen.append)
    return [(item.seq, item.type) for item in seen]


def test_a_stream_to_its_end(server: UnrulyServer, client: Client) -> None:
    server.on("GET", STREAM, sse((1, "job.queued"), (2, "job.started"), (3, "job.succeeded")))
    server.on("GET", EVENTS, NO_EVENTS)
    server.on("GET", JOB, SUCCEEDED)
    assert wait_for_events(client) == [(1, "job.queued"), (2, "job.started"), (3, "job.succeeded")]


def test_a_broken_stream_goes_on_after_the_last_event_that_arrived(server: UnrulyServer, client: Client) -> None:
    server.on("GET", STREAM, sse((1, "job.queued"), (2, "job.started")), hang_up, sse((2, "job.started"), (3, "job.succeeded")))
    server.on("GET", EVENTS, NO_EVENTS)
    server.on("GET", JOB, RUNNING, RUNNING, RUNNING, SUCCEEDED)
    assert wait_for_events(client) == [(1, "job.queued"), (2, "job.started"), (3, "job.succeeded")]
    resumed_at = [item.headers["Last-Event-ID"] for item in server.requests("GET", STREAM)]
    assert resumed_at == ["0", "2", "2"]


@pytest.mark.parametrize(
    "step",
    [raw(b"<html>", headers={"Content-Type": "text/html"}), problem(501, "not_built"), hang_up],
    ids=["not a stream", "not there", "always cut"],
)
def test_polling_takes_over_where_streams_do_not_get_through(server: UnrulyServer, client: Client, step: object) -> None:
    server.on("GET", STREAM, step)  # type: ignore[arg-type]
    pages = [
        {"data": [event(1, "job.queued")], "has_more": True, "next_cursor": "c"},
        {"data": [event(2, "job.succeeded")], "has_more": False, "next_cursor": None},
    ]
    server.on("GET", EVENTS, reply(pages[0]), reply(pages[1]), NO_EVENTS)
    server.on("GET", JOB, *[RUNNING] * 5, SUCCEEDED)
    assert wait_for_events(client) == [(1, "job.queued"), (2, "job.succeeded")]


def test_a_service_that_restarts_is_waited_for(server: UnrulyServer, client: Client) -> None:
    away = problem(503, "starting", headers={"Retry-After": "0"})
    server.on("GET", STREAM, sse((1, "job.queued")), away, sse((2, "job.succeeded")))
    server.on("GET", EVENTS, NO_EVENTS)
    # More refusals than one request's retries survive.
    server.on("GET", JOB, RUNNING, *[away] * 9, RUNNING, SUCCEEDED)
    assert [seq for seq, _ in wait_for_events(client)] == [1, 2]


def test_patience_ends(server: UnrulyServer, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "PATIENCE_S", 0.0)
    server.on("GET", STREAM, problem(503, "gone", headers={"Retry-After": "0"}))
    server.on("GET", JOB, RUNNING)
    with pytest.raises(ApiError):
        client.jobs.wait("job_1")


def test_a_job_that_fails(server: UnrulyServer, client: Client) -> None:
    server.on("GET", STREAM, sse((1, "job.failed")))
    server.on("GET", EVENTS, NO_EVENTS)
    error = {"code": "out_of_memory", "message": "use fewer sequences", "retryable": False}
    server.on("GET", JOB, reply({"id": "job_1", "status": "failed", "error": error}))
    with pytest.raises(JobFailed, match=r"use fewer sequences \(out_of_memory\)") as caught:
        client.jobs.wait("job_1")
    assert caught.value.job.status == "failed"


def test_a_failed_job_that_was_retried_is_waited_for(server: UnrulyServer, client: Client) -> None:
    server.on("GET", STREAM, sse((1, "job.failed")), sse((2, "job.retried"), (3, "job.succeeded")))
    server.on("GET", EVENTS, NO_EVENTS)
    server.on("GET", JOB, RUNNING, RUNNING, SUCCEEDED)
    assert [seq for seq, _ in wait_for_events(client)] == [1, 2, 3]


def test_a_time_limit_ends_a_silent_stream(server: UnrulyServer, client: Client) -> None:
    released = threading.Event()
    server.on("GET", STREAM, sse((1, "job.started"), then=lambda _: released.wait(300)))
    server.on("GET", JOB, RUNNING)
    with pytest.raises(WaitTimeout):  # while the stream goes on
        client.jobs.wait("job_1", timeout_s=0.4)
    released.set()


def test_pings_do_not_keep_a_wait_alive(server: UnrulyServer, client: Client) -> None:
    released = threading.Event()

    def ping(handler: Handler) -> None:
        with suppress(OSError):
            while not released.wait(0.05):
                handler.wfile.write(b": ping\n\n")

    server.on("GET", STREAM, sse((1, "job.started"), then=ping))
    server.on("GET", JOB, RUNNING)
    with pytest.raises(WaitTimeout):  # while the pings go on
        client.jobs.wait("job_1", timeout_s=1.0)
    released.set()


def test_an_unknown_job_is_an_error_at_once(server: UnrulyServer, client: Client) -> None:
    with pytest.raises(ApiError) as caught:
        client.jobs.wait("job_1")
    assert caught.value.status == 404
    assert len(server.received) == 1


def test_progress_is_reported_while_the_stream_is_silent(server: UnrulyServer, client: Client) -> None:
    reported = threading.Event()
    server.on("GET", STREAM, sse((1, "job.started"), then=lambda _: reported.wait(60)), sse((2, "job.succeeded")))
    server.on("GET", EVENTS, NO_EVENTS)
    server.on("GET", JOB, RUNNING, RUNNING, SUCCEEDED)
    fractions: list[float] = []

    def on_progress(job: Job) -> None:
        fractions.append(job.progress.fraction)
        reported.set()

    client.jobs.wait("job_1", on_progress=on_progress)
    assert fractions[0] == 0.5


def test_an_error_of_the_progress_callback_comes_out(server: UnrulyServer, client: Client) -> None:
    server.on("GET", STREAM, sse((1, "job.succeeded")))
    server.on("GET", EVENTS, NO_EVENTS)
    server.on("GET", JOB, SUCCEEDED)

    def on_progress(job: Job) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        client.jobs.wait("job_1", on_progress=on_progress)
