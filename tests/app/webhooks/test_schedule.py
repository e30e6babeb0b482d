"""The table of waits, and how a receiver can lengthen them."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from app.webhooks.schedule import JITTER, MAX_ATTEMPTS, WAITS_S, read_retry_after, wait_s

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_waits_are_those_of_standard_webhooks() -> None:
    minutes = [seconds / 60 for seconds in WAITS_S]
    assert minutes == [0, 5 / 60, 5, 30, 120, 300, 600, 840, 1200, 1440]
    assert MAX_ATTEMPTS == 10
    assert sum(WAITS_S) < 5 * 24 * 3600, "an endpoint is given up later than a delivery"


@pytest.mark.parametrize("num_attempts", range(1, MAX_ATTEMPTS))
def test_jitter_stays_in_its_share(num_attempts: int) -> None:
    planned = WAITS_S[num_attempts]
    assert wait_s(num_attempts, None, 0) == planned
    assert wait_s(num_attempts, None, -1) == pytest.approx(planned * (1 - JITTER))
    assert wait_s(num_attempts, None, 1) == pytest.approx(planned * (1 + JITTER))


def test_a_receiver_can_ask_for_more_time_up_to_a_day() -> None:
    assert wait_s(1, 120, 0) == 120
    assert wait_s(2, 1, 0) == 300
    assert wait_s(1, 10_000_000, 0) == 24 * 3600


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        (" 7 ", 7.0),
        (format_datetime(NOW.replace(minute=5), usegmt=True), 300.0),
        ("Wed, 31 Dec 2025 23:00:00 GMT", 0.0),
        ("Thu, 01 Jan 2026 00:05:00 -0000", 300.0),
        ("-5", None),
        ("soon", None),
        ("²", None),
        ("9" * 400, None),
        ("", None),
        ("Thu, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        ("Thu, 01 Jan 2026 00:05:00 +99999999999999999999", None),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert read_retry_after(header, now=NOW) == seconds
