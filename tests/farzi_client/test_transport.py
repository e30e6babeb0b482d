"""Retries, idempotency and errors, over a real and unreliable network."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import parse_qs, urlsplit

import pytest

from farzi_client import ApiError, Client, ConnectionFailed, NoApiKey, UnexpectedAnswer
from farzi_client.transport import IN_FLIGHT_CODES
from tests.farzi_client.unruly_server import UnrulyServer, hang_up, problem, raw, reply

JOB = {"id": "job_1", "status": "queued", "kind": "distillation"}


def test_a_dropped_connection_is_retried_with_the_same_idempotency_key(server: UnrulyServer, client: Client) -> None:
    server.on("POST", "/v1/jobs", hang_up, reply(JOB, status=202))
    assert client.jobs.distill("ds_1").id == "job_1"
    first, second = server.requests("POST", "/v1/jobs")
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]
    assert first.body == second.body


def test_two_submissions_have_two_keys_unless_the_caller_chooses(server: UnrulyServer, client: Client) -> None:
    server.on("POST", "/v1/jobs", reply(JOB, status=202))
    client.jobs.distill("ds_1")
    client.jobs.distill("ds_1")
    client.jobs.distill("ds_1", idempotency_key="mine")
    keys = [item.headers["Idempotency-Key"] for item in server.requests("POST", "/v1/jobs")]
    assert len(set(keys)) == 3
    assert keys[2] == "mine"


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_errors_that_pass_are_retried(server: UnrulyServer, client: Client, status: int) -> None:
    server.on("GET", "/v1/jobs/job_1", problem(status, "busy"), reply(JOB))
    assert client.jobs.get("job_1").status == "queued"


@pytest.mark.parametrize("code", sorted(IN_FLIGHT_CODES))
def test_a_request_in_flight_elsewhere_is_waited_for(server: UnrulyServer, client: Client, code: str) -> None:
    server.on("POST", "/v1/jobs", problem(409, code), reply(JOB, status=202))
    assert client.jobs.distill("ds_1").id == "job_1"


def test_another_conflict_is_not_retried(server: UnrulyServer, client: Client) -> None:
    server.on("POST", "/v1/jobs/job_1/pause", problem(409, "job_not_running"))
    with pytest.raises(ApiError) as caught:
        client.jobs.pause("job_1")
    assert caught.value.code == "job_not_running"
    assert len(server.received) == 1


def test_retry_after_in_seconds_is_honoured(server: UnrulyServer, client: Client) -> None:
    server.on("GET", "/v1/jobs/job_1", problem(503, "busy", headers={"Retry-After": "1"}), reply(JOB))
    started = time.monotonic()
    client.jobs.get("job_1")
    assert time.monotonic() - started >= 1.0


def test_retry_after_as_a_date_is_honoured(server: UnrulyServer, client: Client) -> None:
    at = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    server.on("GET", "/v1/jobs/job_1", problem(429, "busy", headers={"Retry-After": at}))
    with pytest.raises(ApiError) as caught:
        client.jobs.get("job_1")
    assert caught.value.retry_after_s == pytest.approx(3600, abs=60)
    assert len(server.received) == 1, "an hour is not slept through"


@pytest.mark.parametrize("header", ["\xb2", "soon", "-1", f"Thu, 01 Jan {'9' * 20} 00:00:00 GMT"])
def test_a_retry_after_that_cannot_be_read_is_passed_over(server: UnrulyServer, client: Client, header: str) -> None:
    server.on("GET", "/v1/jobs/job_1", problem(503, "busy", headers={"Retry-After": header}), reply(JOB))
    assert client.jobs.get("job_1").id == "job_1"


def test_a_retry_after_that_is_too_long_is_reported_at_once(server: UnrulyServer, client: Client) -> None:
    server.on("GET", "/v1/jobs/job_1", problem(429, "quota", headers={"Retry-After": "3600"}))
    with pytest.raises(ApiError) as caught:
        client.jobs.get("job_1")
    assert caught.value.retry_after_s == 3600
    assert len(server.received) == 1


def test_retries_end(server: UnrulyServer) -> None:
    server.on("GET", "/v1/jobs/job_1", problem(503, "busy"))
    with Client("fz_test", base_url=server.url, max_retries=1) as client, pytest.raises(ApiError):
        client.jobs.get("job_1")
    assert len(server.received) == 2


def test_a_problem_arrives_whole(server: UnrulyServer, client: Client) -> None:
    listed = [{"pointer": "/spec/preset", "detail": "'slow' is not known"}]
    server.on("POST", "/v1/jobs", problem(422, "invalid_spec", errors=listed))
    with pytest.raises(ApiError) as caught:
        client.jobs.distill("ds_1", preset="slow")
    error = caught.value
    assert (error.code, error.status, error.request_id, error.retryable) == ("invalid_spec", 422, "req_1", False)
    assert (error.problems[0].pointer, error.problems[0].detail) == ("/spec/preset", "'slow' is not known")
    assert "/spec/preset" in str(error)


def test_a_proxys_error_page_is_still_an_api_error(server: UnrulyServer) -> None:
    server.on("GET", "/v1/jobs/job_1", raw(b"<html>bad gateway</html>", status=502, headers={"Content-Type": "text/html"}))
    with Client("fz_test", base_url=server.url, max_retries=0) as client, pytest.raises(ApiError) as caught:
        client.jobs.get("job_1")
    assert (caught.value.status, caught.value.code) == (502, "http_502")


@pytest.mark.parametrize("step", [raw(b"<html>hello</html>"), reply(["a list"]), reply({"hello": "world"})])
def test_another_program_at_the_url_is_recognised(server: UnrulyServer, client: Client, step: object) -> None:
    server.on("GET", "/v1/jobs/job_1", step)  # type: ignore[arg-type]
    with pytest.raises(UnexpectedAnswer):
        client.jobs.get("job_1")


def test_a_service_that_is_not_there() -> None:
    with (
        Client("fz_test", base_url="http://127.0.0.1:9", max_retries=0) as client,
        pytest.raises(ConnectionFailed, match="farzi serve"),
    ):
        client.jobs.get("job_1")


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://127.0.0.1", "http://[::1", "nonsense"])
def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises(ConnectionFailed), Client("fz_test", base_url=url) as client:
        client.jobs.get("job_1")


def test_a_silent_service_is_given_up(server: UnrulyServer) -> None:
    server.on("GET", "/v1/jobs/job_1", lambda _: time.sleep(1.0))
    with (
        Client("fz_test", base_url=server.url, timeout_s=0.2, max_retries=0) as client,
        pytest.raises(ConnectionFailed, match="in time"),
    ):
        client.jobs.get("job_1")


@pytest.mark.parametrize("key", [None, "", "  ", "fz_\u00e9", "fz_a b", "fz_a\nb"])
def test_a_key_that_cannot_be_one(monkeypatch: pytest.MonkeyPatch, key: str | None) -> None:
    monkeypatch.delenv("FARZI_API_KEY", raising=False)
    with pytest.raises(NoApiKey):
        Client(key)


def test_the_environment_names_service_and_key(monkeypatch: pytest.MonkeyPatch, server: UnrulyServer) -> None:
    monkeypatch.setenv("FARZI_API_KEY", "fz_from_environment")
    monkeypatch.setenv("FARZI_API_URL", f"{server.url}/")
    server.on("GET", "/v1/jobs/job_1", reply(JOB))
    with Client() as client:
        client.jobs.get("job_1")
    assert server.received[0].headers["Authorization"] == "Bearer fz_from_environment"


def test_a_proxy_for_the_world_outside_is_not_asked_for_this_machine(
    monkeypatch: pytest.MonkeyPatch, server: UnrulyServer
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    server.on("GET", "/v1/jobs/job_1", reply(JOB))
    with Client("fz_test", base_url=server.url) as client:
        assert client.jobs.get("job_1").id == "job_1"


def test_jobs_are_filtered_only_by_what_there_is(server: UnrulyServer, client: Client) -> None:
    server.on("GET", "/v1/jobs", reply({"data": [JOB], "has_more": False}))
    at = datetime(2026, 1, 31, tzinfo=UTC)
    options = {"status": "queued", "kind": None, "created_after": at, "metadata": {"team": "rec"}}
    assert [job.id for job in client.jobs.list(**options)] == ["job_1"]  # type: ignore[arg-type]
    assert [job.id for job in client.jobs.list_page(limit=5, **options).data] == ["job_1"]  # type: ignore[arg-type]
    filters = {"status": ["queued"], "created_after": [at.isoformat()], "metadata[team]": ["rec"]}
    asked = [parse_qs(urlsplit(item.path).query) for item in server.received]
    assert asked == [{"limit": ["100"], **filters}, {"limit": ["5"], **filters}]
    with pytest.raises(TypeError, match="filtered by state; by status, kind"):
        client.jobs.list(state="queued")  # type: ignore[call-arg]


def test_an_id_cannot_leave_its_place_in_the_path(server: UnrulyServer, client: Client) -> None:
    with pytest.raises(ApiError):
        client.jobs.get("../api-keys?x=1")
    assert server.received[0].path == "/v1/jobs/..%2Fapi-keys%3Fx%3D1"
