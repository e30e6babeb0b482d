"""Connections for webhooks: opened to addresses that were checked, to nothing else, and over by a fixed moment."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable
from typing import Any

import httpcore

from app.webhooks.targets import TargetPolicy

# One address of several may be dead; this leaves time for the next.
LONGEST_CONNECT_S = 5.0


class Deadline:
    """The moment by which everything has to be over."""

    def __init__(self, timeout_s: float) -> None:
        self._at = time.monotonic() + timeout_s

    def remaining_s(self, timeout: type[httpcore.TimeoutException]) -> float:
        """Return the seconds that are left, or raise ``timeout``."""
        left_s = self._at - time.monotonic()
        if left_s <= 0:
            raise timeout("the time is up")
        return left_s


class GuardedBackend(httpcore.NetworkBackend):
    """Resolves a name once, checks every address, and connects to one of those: a second answer is never asked for.

    The name stays the request's own, so that TLS checks the certificate against it and the header Host carries it.
    """

    def __init__(self, policy: TargetPolicy, deadline: Deadline) -> None:
        self._policy = policy
        self._deadline = deadline
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002  of a single step; the deadline is of all of them
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address that answers.

        Raises:
            TargetRefusedError: an address is not public.
            NameNotResolvedError: there is none.
            ConnectError: none of them takes the connection.
        """
        left_s = self._deadline.remaining_s(httpcore.ConnectTimeout)
        failure: httpcore.ConnectError | httpcore.ConnectTimeout | None = None
        for address in self._policy.addresses_of(host, port, within_s=left_s):
            left_s = min(self._deadline.remaining_s(httpcore.ConnectTimeout), LONGEST_CONNECT_S)
            try:
                stream = self._sockets.connect_tcp(address, port, left_s, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _TimedStream(stream, self._deadline)
        assert failure is not None, "a name without addresses is not resolved"
        raise failure


class _TimedStream(httpcore.NetworkStream):
    """A stream whose every step has only the time that is left: a peer that sends a byte now and then gains nothing."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._stream.read(max_bytes, self._deadline.remaining_s(httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._stream.write(buffer, self._deadline.remaining_s(httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        left_s = self._deadline.remaining_s(httpcore.ConnectTimeout)
        return _TimedStream(self._stream.start_tls(ssl_context, server_hostname, left_s), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
