"""A browser's session: a signed cookie that names an API key by its id, and the token that forms of the session carry.

The key itself is in neither. Nothing is kept on the server: who has the service's secret can read and make cookies.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

COOKIE_NAME = "farzi_session"
LIFETIME_S = 12 * 3600
CLOCK_SKEW_S = 60
_COOKIE = re.compile(r"(?P<payload>(?P<key_id>key_[0-9a-f]{32})\.(?P<began_at>\d{1,12})\.[0-9a-f]{32})\.(?P<seal>[0-9a-f]{64})")


@dataclass(frozen=True)
class BrowserSession:
    """A session that is not over.

    Attributes:
        key_id: whose rights it has.
        csrf_token: what its forms have to send.
    """

    key_id: str
    csrf_token: str

    def owns(self, token: str | None) -> bool:
        """Whether a request with ``token`` comes from a page of this session."""
        return token is not None and hmac.compare_digest(token.encode(), self.csrf_token.encode())


class SessionSeal:
    """Makes and reads cookies.

    Args:
        secret: the service's.
        clock: seconds since 1970.
    """

    def __init__(self, secret: bytes, clock: Callable[[], float] = time.time) -> None:
        self._key = hmac.digest(secret, b"dashboard session", hashlib.sha256)
        self._clock = clock

    def begin(self, key_id: str) -> str:
        """Return the cookie of a new session."""
        payload = f"{key_id}.{int(self._clock())}.{secrets.token_hex(16)}"
        return f"{payload}.{self._sign('cookie', payload)}"

    def open(self, cookie: str | None) -> BrowserSession | None:
        """Return the session of a cookie; None if it is over, or no cookie of ours."""
        found = _COOKIE.fullmatch(cookie or "")
        if found is None or not hmac.compare_digest(self._sign("cookie", found["payload"]), found["seal"]):
            return None
        age_s = self._clock() - int(found["began_at"])
        if not -CLOCK_SKEW_S <= age_s < LIFETIME_S:
            return None
        return BrowserSession(found["key_id"], self._sign("csrf", found["payload"]))

    def _sign(self, purpose: str, payload: str) -> str:
        return hmac.new(self._key, f"{purpose}\n{payload}".encode(), hashlib.sha256).hexdigest()
