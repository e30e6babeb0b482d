"""Send one webhook: a single POST, with no redirects, no proxy, fifteen seconds in all and a kilobyte of answer."""

from __future__ import annotations

import contextlib
import functools
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata

import httpcore
import httpx

from app.webhooks.connecting import Deadline, GuardedBackend
from app.webhooks.targets import NameNotResolvedError, Target, TargetPolicy, TargetRefusedError

TIMEOUT_S = 15.0
MAX_RESPONSE_BYTES = 1024


@dataclass(frozen=True)
class AttemptError:
    """Why an attempt failed: a stable code, and words for the endpoint's owner."""

    code: str
    message: str


@dataclass(frozen=True)
class AttemptResult:
    """What came of one POST.

    Attributes:
        status: of the answer; None if there was none.
        response_body: its beginning, as text.
        retry_after: the header, as it was sent.
    """

    duration_s: float
    error: AttemptError | None
    status: int | None = None
    response_body: str | None = None
    retry_after: str | None = None


class Sender:
    """Sends to what ``policy`` allows; safe to share between threads.

    Args:
        policy: which targets are allowed.
        ssl_context: whom to trust; by default the certificates of ``certifi``, or those that ``SSL_CERT_FILE`` names.
        timeout_s: seconds for everything, from the name's resolution to the answer's body.
    """

    def __init__(
        self, policy: TargetPolicy, ssl_context: ssl.SSLContext | None = None, *, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._policy = policy
        self._ssl_context = ssl_context or _default_trust()
        self._timeout_s = timeout_s
        self._user_agent = f"Farzi/{metadata.version('farzi')}"

    def send(self, url: str, headers: Mapping[str, str], body: bytes) -> AttemptResult:
        """POST ``body`` to ``url``; whatever goes wrong out there is a result and not an exception."""
        started_at = time.monotonic()
        try:
            status, retry_after, response_body = self._post(self._policy.parse(url), headers, body)
        except _FAILURES as error:
            return AttemptResult(time.monotonic() - started_at, _explain(error, self._timeout_s))
        return AttemptResult(time.monotonic() - started_at, _judge(status), status, response_body, retry_after)

    def _post(self, target: Target, headers: Mapping[str, str], body: bytes) -> tuple[int, str | None, str]:
        url = httpcore.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path)
        own = {"Host": target.authority, "User-Agent": self._user_agent, "Content-Type": "application/json"}
        given = [(name.encode(), value.encode()) for name, value in {**own, "Connection": "close", **headers}.items()]
        backend = GuardedBackend(self._policy, Deadline(self._timeout_s))
        with (
            httpcore.HTTPConnection(url.origin, ssl_context=self._ssl_context, network_backend=backend) as connection,
            connection.stream("POST", url, headers=given, content=body) as response,
        ):
            retry_after = next((value for name, value in response.headers if name.lower() == b"retry-after"), None)
            return response.status, None if retry_after is None else retry_after.decode("latin-1"), _beginning_of(response)


@functools.cache
def _default_trust() -> ssl.SSLContext:
    """Return the context of every sender that was given none; a process reads the certificates once."""
    return httpx.create_ssl_context()


_FAILURES = (
    TargetRefusedError,
    NameNotResolvedError,
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
)


def _beginning_of(response: httpcore.Response) -> str:
    """Return as much of the body as is kept. The status has decided already: a body that breaks off changes nothing."""
    kept = bytearray()
    with contextlib.suppress(httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError):
        for chunk in response.iter_stream():
            kept += chunk
            if len(kept) >= MAX_RESPONSE_BYTES:
                break
    # Postgres stores no NUL.
    return kept[:MAX_RESPONSE_BYTES].decode(errors="replace").replace("\0", "\ufffd")


def _judge(status: int) -> AttemptError | None:
    if 200 <= status < 300:
        return None
    hint = "; redirects are not followed, give the endpoint the URL they lead to" if 300 <= status < 400 else ""
    return AttemptError("unsuccessful_status", f"the answer has status {status}, where 200 to 299 is success{hint}")


def _explain(error: Exception, timeout_s: float) -> AttemptError:
    if isinstance(error, TargetRefusedError):
        return AttemptError("target_refused", str(error))
    if isinstance(error, NameNotResolvedError):
        return AttemptError("name_not_resolved", str(error))
    if isinstance(error, httpcore.TimeoutException):
        return AttemptError("timeout", f"there was no answer within {timeout_s:g} s; answer first and work afterwards")
    if isinstance(error.__cause__, ssl.SSLError):
        return AttemptError("tls_failed", f"TLS failed: {error}")
    if isinstance(error, httpcore.ProtocolError):
        return AttemptError("bad_response", f"the answer is not HTTP: {error}")
    return AttemptError("connection_failed", f"the connection failed: {error or type(error).__name__}")
