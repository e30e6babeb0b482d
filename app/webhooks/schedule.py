"""When a delivery is tried again: the waits that Standard Webhooks recommends, three days in all."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_MINUTE_S, _HOUR_S = 60.0, 3600.0
# Seconds before each attempt, counted from the end of the one before.
WAITS_S = (
    0.0,
    5.0,
    5 * _MINUTE_S,
    30 * _MINUTE_S,
    2 * _HOUR_S,
    5 * _HOUR_S,
    10 * _HOUR_S,
    14 * _HOUR_S,
    20 * _HOUR_S,
    24 * _HOUR_S,
)
MAX_ATTEMPTS = len(WAITS_S)
# Share by which a wait varies, so that what failed together does not come back together.
JITTER = 0.1
LONGEST_RETRY_AFTER_S = WAITS_S[-1]
_SECONDS = re.compile(r"[0-9]{1,9}")


def wait_s(num_attempts: int, asked_s: float | None, spread: float) -> float:
    """Return the seconds to wait after ``num_attempts`` attempts.

    Args:
        num_attempts: how many there were; from 1 to ``MAX_ATTEMPTS - 1``.
        asked_s: what the receiver asked for; it can make a wait longer, up to a day, and never shorter.
        spread: from -1 to 1, drawn at random.
    """
    planned = WAITS_S[num_attempts] * (1 + JITTER * spread)
    return planned if asked_s is None else max(planned, min(asked_s, LONGEST_RETRY_AFTER_S))


def read_retry_after(header: str | None, *, now: datetime) -> float | None:
    """Return the seconds that ``Retry-After`` asks for, in either of its forms; None if it says nothing that can be read."""
    if header is None:
        return None
    if _SECONDS.fullmatch(header.strip()):
        return float(header)
    try:
        at = parsedate_to_datetime(header)
    except (ValueError, OverflowError):  # the second for a number that no date has room for
        return None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return max(0.0, (at - now).total_seconds())
