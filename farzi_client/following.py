"""Following something to its end: what waiting is bound to, and when it gives up."""

from __future__ import annotations

import time

from farzi_client.errors import ApiError, FarziClientError, UnexpectedAnswer, WaitTimeout
from farzi_client.transport import may_pass

LAST_EVENT_TYPES = frozenset({"job.succeeded", "job.failed", "job.cancelled"})
# The service pings every 15 s: after three missed pings the connection is dead.
SILENCE_S = 45.0
POLL_S = 1.0
# Streams that end before their first event, one after the other, before polling takes over for good.
MAX_FRUITLESS_STREAMS = 3
# How far a wait may outrun its time limit.
TIMEOUT_TOLERANCE_S = 0.5
# How long a service may be away (a restart, a deployment) before waiting gives up.
PATIENCE_S = 120.0


class RenewStream(FarziClientError):  # noqa: N818
    """The stream has to be opened again with less time."""


class Patience:
    """How long a job or a data set is still waited for, and whether streams of events get through at all."""

    def __init__(self, name: str, timeout_s: float | None) -> None:
        self._name = name
        self._timeout_s = timeout_s
        self._give_up_at = None if timeout_s is None else time.monotonic() + timeout_s
        self._num_fruitless = 0
        self._last_contact = time.monotonic()

    @property
    def is_streaming(self) -> bool:
        """Whether streams are still worth a try; else events are polled."""
        return self._num_fruitless < MAX_FRUITLESS_STREAMS

    def note_contact(self) -> None:
        """The service answered."""
        self._last_contact = time.monotonic()

    def note_round(self, *, was_streaming: bool, brought_events: bool) -> None:
        """A stream ended, or a poll was made."""
        if not brought_events:
            self._num_fruitless += 1
        elif was_streaming:
            self._num_fruitless = 0

    def forgive(self, error: FarziClientError) -> None:
        """Raise ``error`` unless going on may help: the service is away for a while, or streams do not get through."""
        if isinstance(error, UnexpectedAnswer) or (isinstance(error, ApiError) and error.status in {406, 501}):
            self.remaining_s()
            self._num_fruitless = MAX_FRUITLESS_STREAMS
        else:
            self.forgive_outage(error)

    def forgive_outage(self, error: FarziClientError) -> None:
        """Raise ``error`` unless it may pass, and the service has not been away for too long."""
        self.remaining_s()
        if not may_pass(error) or time.monotonic() - self._last_contact > PATIENCE_S:
            raise error

    def remaining_s(self) -> float:
        """Return for how long to be silent at most, in seconds.

        Raises:
            WaitTimeout: the time is up.
        """
        if self._give_up_at is None:
            return SILENCE_S
        remaining_s = self._give_up_at - time.monotonic()
        if remaining_s <= 0:
            raise WaitTimeout(f"{self._name} is not done after {self._timeout_s:g} s; it goes on, wait again to see its end")
        return remaining_s
