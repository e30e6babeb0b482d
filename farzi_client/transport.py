"""One HTTP exchange with the service: retries, idempotency keys, errors. Knows no resource."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib import metadata
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential, wait_random

from farzi_client.errors import ApiError, ConnectionFailed, Problem, UnexpectedAnswer

IN_FLIGHT_CODES = frozenset({"idempotency_key_in_flight", "upload_completing"})
RETRIED_STATUSES = frozenset({429, 502, 503, 504})
CONNECT_TIMEOUT_S = 10.0
# The answer to an upload comes when the object store has all of it.
UPLOAD_ANSWER_TIMEOUT_S = 600.0
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})
# A server that asks for more than this is better reported to the caller than slept through.
LONGEST_RETRY_AFTER_S = 60.0

Body = bytes | Iterator[bytes]
T = TypeVar("T")


class _WatchedStream(httpx.SyncByteStream):
    """A body that tells of every piece that arrives, those included that a parser swallows."""

    def __init__(self, stream: httpx.SyncByteStream, on_bytes: Callable[[], None]) -> None:
        self._stream, self._on_bytes = stream, on_bytes

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._stream:
            self._on_bytes()
            yield piece

    def close(self) -> None:
        self._stream.close()


class Transport:
    """A pool of connections to one service, under one key. Safe to share between threads."""

    def __init__(self, base_url: str, api_key: str | None, *, timeout_s: float, max_retries: int) -> None:
        self.base_url = base_url.rstrip("/")
        self._timeout_s = timeout_s
        self._max_retries = max_retries
        headers = {"User-Agent": f"farzi-client/{_version()}", "Accept": "application/json"}
        if api_key:
            headers["Authorization"] = f"Bearer {api_key}"
        with self._connection_errors():
            self._http = httpx.Client(
                base_url=self.base_url,
                headers=headers,
                timeout=httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S),
                # A proxy for the world outside cannot reach a service on this machine.
                trust_env=httpx.URL(self.base_url).host not in LOOPBACK_HOSTS,
            )

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        given = {name: value for name, value in (params or {}).items() if value is not None}
        return self.request("GET", path, params=given)

    def post(self, path: str, body: Any = None, *, idempotency_key: str | None = None) -> Any:
        """Send a POST; every attempt carries the same key, so a retry after a lost answer does nothing twice."""
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        return self.request("POST", path, json=body, headers=headers)

    def put(self, path: str, open_body: Callable[[], Body], headers: Mapping[str, str]) -> Any:
        """Send a PUT whose body is opened afresh for every attempt."""
        timeout = httpx.Timeout(self._timeout_s, connect=CONNECT_TIMEOUT_S, read=max(self._timeout_s, UPLOAD_ANSWER_TIMEOUT_S))
        return self.retrying(lambda: _json(self._send("PUT", path, content=open_body(), headers=headers, timeout=timeout)))

    def put_part(self, url: str, open_body: Callable[[], Body], headers: Mapping[str, str]) -> None:
        """Send a part: to a path of the service with the key, to any other host without it."""
        if url.startswith("/"):
            self.put(url, open_body, headers)
        else:
            self.retrying(lambda: self._put_elsewhere(url, open_body(), headers))

    def _put_elsewhere(self, url: str, body: Body, headers: Mapping[str, str]) -> None:
        timeout = httpx.Timeout(max(self._timeout_s, UPLOAD_ANSWER_TIMEOUT_S), connect=CONNECT_TIMEOUT_S)
        host = httpx.URL(url).host
        try:
            with httpx.Client(timeout=timeout, trust_env=host not in LOOPBACK_HOSTS) as http:
                response = http.put(url, content=body, headers=headers)
        except httpx.TransportError as error:
            raise ConnectionFailed(f"the connection to {host} broke: {error or type(error).__name__}") from error
        if not response.is_success:
            raise read_error(response)

    def delete(self, path: str) -> None:
        self.request("DELETE", path)

    def request(self, method: str, path: str, **options: Any) -> Any:
        """Return the JSON of the answer, or None when it has no body."""
        return self.retrying(lambda: _json(self._send(method, path, **options)))

    def retrying(self, attempt: Callable[[], T]) -> T:
        """Run ``attempt`` again after errors that may pass; it must be safe to repeat."""
        policy = Retrying(
            stop=stop_after_attempt(self._max_retries + 1),
            wait=_wait_s,
            retry=retry_if_exception(may_pass),
            reraise=True,
        )
        return policy(attempt)

    @contextmanager
    def stream(
        self,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        read_timeout_s: float | None = None,
        on_bytes: Callable[[], None] | None = None,
    ) -> Iterator[httpx.Response]:
        """Open one GET whose body the caller reads piece by piece; redirects to object storage are followed without the key.

        Args:
            path: what to get.
            headers: further headers.
            read_timeout_s: longest silence between two pieces, in seconds; None takes the client's.
            on_bytes: called with every piece that arrives, before it is read; may raise to end the stream.
        """
        timeout = self._http.timeout if read_timeout_s is None else httpx.Timeout(read_timeout_s, connect=CONNECT_TIMEOUT_S)
        with (
            self._connection_errors(),
            self._http.stream("GET", path, headers=headers, timeout=timeout, follow_redirects=True) as response,
        ):
            if not response.is_success:
                response.read()
                raise read_error(response)
            if on_bytes is not None:
                assert isinstance(response.stream, httpx.SyncByteStream)
                response.stream = _WatchedStream(response.stream, on_bytes)
            yield response

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        with self._connection_errors():
            response = self._http.request(method, path, **options)
        if not response.is_success:
            raise read_error(response)
        return response

    @contextmanager
    def _connection_errors(self) -> Iterator[None]:
        try:
            yield
        except httpx.ReadTimeout as error:
            raise ConnectionFailed(f"{self.base_url} took the request but did not answer in time") from error
        except httpx.ConnectError as error:
            raise ConnectionFailed(
                f"cannot reach {self.base_url}; start it with 'farzi serve', or set FARZI_API_URL to where it runs"
            ) from error
        except httpx.TransportError as error:
            raise ConnectionFailed(f"the connection to {self.base_url} broke: {error or type(error).__name__}") from error
        except httpx.InvalidURL as error:
            raise ConnectionFailed(f"{self.base_url!r} is not a URL; give one like http://127.0.0.1:8000") from error


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
    return ApiError(
        code=str(problem.get("code") or f"http_{response.status_code}"),
        status=response.status_code,
        detail=str(detail),
        request_id=problem.get("request_id") or response.headers.get("X-Request-ID"),
        retryable=bool(problem.get("retryable", response.status_code in RETRIED_STATUSES)),
        problems=tuple(Problem(str(item.get("pointer", "")), str(item.get("detail", ""))) for item in listed),
        retry_after_s=_retry_after_s(response.headers.get("Retry-After")),
    )


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


def _json(response: httpx.Response) -> Any:
    if not response.content:
        return None
    try:
        return response.json()
    except ValueError:
        raise UnexpectedAnswer(
            f"{response.url} did not answer with JSON; is FARZI_API_URL the address of a Farzi service?"
        ) from None


def _version() -> str:
    try:
        return metadata.version("farzi")
    except metadata.PackageNotFoundError:
        return "unknown"
