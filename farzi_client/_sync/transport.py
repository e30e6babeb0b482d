# Made from farzi_client/_async/transport.py by python -m tests.farzi_client.twins: change it there.
"""A pool of connections to one service: every exchange goes through here."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx
from tenacity import Retrying

from farzi_client._sync.concurrency import Attempt
from farzi_client.transport import (
    CONNECT_TIMEOUT_S,
    connection_errors,
    connection_options,
    given,
    read_error,
    read_json,
    retry_policy,
    storage_errors,
    trusts_environment,
    upload_timeout,
)

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
    """A pool of connections to one service, under one key."""

    def __init__(self, base_url: str, api_key: str | None, *, timeout_s: float, max_retries: int) -> None:
        self.base_url = base_url.rstrip("/")
        self._timeout_s = timeout_s
        self._max_retries = max_retries
        with connection_errors(self.base_url):
            self._http = httpx.Client(**connection_options(self.base_url, api_key, timeout_s))

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        return self.request("GET", path, params=given(params))

    def get_text(self, path: str) -> str:
        """Return an answer that is no JSON."""
        return (self.retrying(lambda: self._send("GET", path, headers={"Accept": "*/*"}))).text

    def post(self, path: str, body: Any = None, *, idempotency_key: str | None = None) -> Any:
        """Send a POST; every attempt carries the same key, so a retry after a lost answer does nothing twice."""
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        return self.request("POST", path, json=body, headers=headers)

    def put(self, path: str, open_body: Callable[[], Iterator[bytes]], headers: Mapping[str, str]) -> Any:
        """Send a PUT whose body is opened afresh for every attempt."""
        timeout = upload_timeout(self._timeout_s)
        return read_json(self.retrying(lambda: self._send("PUT", path, content=open_body(), headers=headers, timeout=timeout)))

    def put_part(self, url: str, open_body: Callable[[], Iterator[bytes]], headers: Mapping[str, str]) -> None:
        """Send a part: to a path of the service with the key, to any other host without it."""
        if url.startswith("/"):
            self.put(url, open_body, headers)
        else:
            self.retrying(lambda: self._put_elsewhere(url, open_body(), headers))

    def _put_elsewhere(self, url: str, body: Iterator[bytes], headers: Mapping[str, str]) -> None:
        with storage_errors(url):
            with httpx.Client(timeout=upload_timeout(self._timeout_s), trust_env=trusts_environment(url)) as http:
                response = http.put(url, content=body, headers=headers)
        if not response.is_success:
            raise read_error(response)

    def delete(self, path: str) -> None:
        self.request("DELETE", path)

    def request(self, method: str, path: str, **options: Any) -> Any:
        """Return the JSON of the answer, or None when it has no body."""
        return read_json(self.retrying(lambda: self._send(method, path, **options)))

    def retrying(self, attempt: Attempt[T]) -> T:
        """Run ``attempt`` again after errors that may pass; it must be safe to repeat."""

        def once() -> T:  # tenacity awaits only what it can see to be a coroutine function
            return attempt()

        return Retrying(**retry_policy(self._max_retries))(once)

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
        with connection_errors(self.base_url):
            with self._http.stream("GET", path, headers=headers, timeout=timeout, follow_redirects=True) as response:
                if not response.is_success:
                    response.read()
                    raise read_error(response)
                if on_bytes is not None:
                    assert isinstance(response.stream, httpx.SyncByteStream)
                    response.stream = _WatchedStream(response.stream, on_bytes)
                yield response

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        with connection_errors(self.base_url):
            response = self._http.request(method, path, **options)
        if not response.is_success:
            raise read_error(response)
        return response
