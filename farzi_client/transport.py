"""What both clients send, what they try again and when, and what an answer means. Knows no resource."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib import metadata
from typing import Any
from urllib.parse import quote

import httpx
from tenacity import RetryCallState, retry_if_exception, stop_after_attempt, wait_exponential, wait_random

from farzi_client.errors import ApiError, ConnectionFailed, Problem, UnexpectedAnswer, error_class

IN_FLIGHT_CODES = frozenset({"idempotency_key_in_flight", "upload_completing"})
RETRIED_STATUSES = frozenset({408, 429, *range(500, 600)}) - {501, 505}
CONNECT_TIMEOUT_S = 10.0
# The answer to an upload comes when the object store has all of it.
UPLOAD_ANSWER_TIMEOUT_S = 600.0
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})
# A server that asks for more than this is better reported to the caller than slept through.
LONGEST_RETRY_AFTER_S = 60.0


def connection_options(base_url: str, api_key: str | None, timeout_s: float) -> dict[str, Any]:
    """Return what httpx makes a pool of connections from."""
    headers = {"User-Agent": f"farzi-client/{_version()}", "Accept": "application/json"}
    if api_key:
        headers["Authorization"] = f"Bearer {api_key}"
    return {
        "base_url": base_url,
        "headers": headers,
        "timeout": httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S),
        "trust_env": trusts_environment(base_url),
    }


def trusts_environment(url: str) -> bool:
    """Whether the environment's proxy is asked: one for the world outside cannot reach a service on this machine."""
    return httpx.URL(url).host not in LOOPBACK_HOSTS


def upload_timeout(timeout_s: float) -> httpx.Timeout:
    """Return how long an upload may be silent."""
    return httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S, read=max(timeout_s, UPLOAD_ANSWER_TIMEOUT_S))


def retry_policy(max_retries: int) -> dict[str, Any]:
    """Return what tenacity makes a policy from: errors that may pass are tried again, after what the service asks for."""
    return {
        "stop": stop_after_attempt(max_retries + 1),
        "wait": _wait_s,
        "retry": retry_if_exception(may_pass),
        "reraise": True,
    }


@contextmanager
def connection_errors(base_url: str) -> Iterator[None]:
    """Turn what httpx raises into what the client raises."""
    try:
        yield
    except httpx.ReadTimeout as error:
        raise ConnectionFailed(f"{base_url} took the request but did not answer in time") from error
    except httpx.ConnectError as error:
        raise ConnectionFailed(
            f"cannot reach {base_url}; start it with 'farzi serve', or set FARZI_API_URL to where it runs"
        ) from error
    except httpx.TransportError as error:
        raise ConnectionFailed(f"the connection to {base_url} broke: {error or type(error).__name__}") from error
    except httpx.InvalidURL as error:
        raise ConnectionFailed(f"{base_url!r} is not a URL; give one like http://127.0.0.1:8000") from error


@contextmanager
def storage_errors(url: str) -> Iterator[None]:
    """Do the same for an object store that parts are sent to directly."""
    try:
        yield
    except httpx.TransportError as error:
        raise ConnectionFailed(f"the connection to {httpx.URL(url).host} broke: {error or type(error).__name__}") from error


def segment(name: str) -> str:
    """Quote an id or a name for use between two slashes of a path: it may come from a command line."""
    return quote(name, safe="")


def may_pass(error: BaseException) -> bool:
    """Whether the same request may succeed a little later."""
    if isinstance(error, ConnectionFailed):
        return not isinstance(error.__cause__, httpx.UnsupportedProtocol | httpx.InvalidURL)
    if not isinstance(error, ApiError) or (error.retry_after_s or 0.0) > LONGEST_RETRY_AFTER_S:
        return False
    return error.status in RETRIED_STATUSES or (error.status == 409 and error.code in IN_FLIGHT_CODES)


def read_error(response: httpx.Response) -> ApiError:
    """Read problem+json; an answer of something else in between (a proxy) still becomes an ApiError with its status."""
    try:
        problem = response.json()
    except ValueError:
        problem = {}
    if not isinstance(problem, dict):
        problem = {}
    listed = problem.get("errors") or ()
    detail = problem.get("detail") or problem.get("title") or f"HTTP {response.status_code} {response.reason_phrase}"
    return error_class(response.status_code)(
        code=str(problem.get("code") or f"http_{response.status_code}"),
        status=response.status_code,
        detail=str(detail),
        request_id=problem.get("request_id") or response.headers.get("X-Request-ID"),
        retryable=bool(problem.get("retryable", response.status_code in RETRIED_STATUSES)),
        problems=tuple(Problem(str(item.get("pointer", "")), str(item.get("detail", ""))) for item in listed),
        retry_after_s=_retry_after_s(response.headers.get("Retry-After")),
    )


def read_json(response: httpx.Response) -> Any:
    """Return the JSON of an answer, or None when it has no body."""
    if not response.content:
        return None
    try:
        return response.json()
    except ValueError:
        raise UnexpectedAnswer(
            f"{response.url} did not answer with JSON; is FARZI_API_URL the address of a Farzi service?"
        ) from None


def given(params: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the parameters that have a value."""
    return {name: value for name, value in (params or {}).items() if value is not None}


def _retry_after_s(header: str | None) -> float | None:
    """Read ``Retry-After`` in either of its forms, seconds or an HTTP date."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        at = parsedate_to_datetime(header)
    except (ValueError, OverflowError):  # the second for a number that no date has room for
        return None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())


_backoff_s = wait_exponential(multiplier=0.25, max=8.0) + wait_random(0.0, 0.25)


def _wait_s(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked_s = error.retry_after_s if isinstance(error, ApiError) else None
    return _backoff_s(state) if asked_s is None else asked_s


def _version() -> str:
    try:
        return metadata.version("farzi")
    except metadata.PackageNotFoundError:
        return "unknown"
