"""Follow a job to its end: a stream of events that survives broken connections, and polls where streams do not get through.

Knows nothing of what the events mean, but which of them may be the last.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from httpx_sse import EventSource, SSEError

from farzi_client.errors import ApiError, FarziClientError, UnexpectedAnswer, WaitTimeout
from farzi_client.models import Job, JobEvent
from farzi_client.paging import iterate_pages
from farzi_client.transport import Transport, may_pass, segment

LAST_EVENT_TYPES = frozenset({"job.succeeded", "job.failed", "job.cancelled"})
# The service pings every 15 s: after three missed pings the connection is dead.
SILENCE_S = 45.0
POLL_S = 1.0
# Streams that end before their first event, one after the other, before polling takes over for good.
MAX_FRUITLESS_STREAMS = 3
# How far a wait may outrun its time limit.
TIMEOUT_TOLERANCE_S = 0.5
LEAVING_S = 1.0
# How long a service may be away (a restart, a deployment) before waiting gives up.
PATIENCE_S = 120.0


def list_events(transport: Transport, job_id: str, *, after: int) -> Iterator[JobEvent]:
    """Yield the events there are so far, page after page."""
    return iterate_pages(transport, f"/v1/jobs/{segment(job_id)}/events", JobEvent, {"after": after})


class _RenewStream(FarziClientError):  # noqa: N818
    """The stream has to be opened again with less time."""


class JobFollower:
    """Follows one job. ``last_seq`` is where a new follower would go on."""

    def __init__(self, transport: Transport, job_id: str, *, after: int = 0, timeout_s: float | None = None) -> None:
        self._transport = transport
        self._path = f"/v1/jobs/{segment(job_id)}"
        self._job_id = job_id
        self._timeout_s = timeout_s
        self._give_up_at = None if timeout_s is None else time.monotonic() + timeout_s
        self._num_fruitless = 0
        self._last_contact = time.monotonic()
        self.last_seq = after

    def events(self) -> Iterator[JobEvent]:
        """Yield every event after ``last_seq``, each once and in order, until the job is over.

        Raises:
            WaitTimeout: the job is not over in time.
            ConnectionFailed: the service was away for too long.
        """
        while True:
            seq_before = self.last_seq
            is_streaming = self._num_fruitless < MAX_FRUITLESS_STREAMS
            yield from self._survive(self._stream if is_streaming else self._poll)
            if self._is_over():
                yield from self._survive(self._poll)
                return
            if self.last_seq > seq_before:
                self._num_fruitless = 0 if is_streaming else self._num_fruitless
            else:
                self._num_fruitless += 1
                self._pause()

    def _survive(self, source: Callable[[], Iterator[JobEvent]]) -> Iterator[JobEvent]:
        """Yield from one source until it ends; errors that may pass end it quietly."""
        try:
            for event in source():
                if event.seq > self.last_seq:
                    self.last_seq = event.seq
                    yield event
        except _RenewStream:
            return
        except FarziClientError as error:
            self._forgive(error)

    def _stream(self) -> Iterator[JobEvent]:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store", "Last-Event-ID": str(self.last_seq)}
        read_timeout_s = min(SILENCE_S, self._remaining_s())

        def note_contact() -> None:
            self._last_contact = time.monotonic()
            if self._remaining_s() < read_timeout_s - TIMEOUT_TOLERANCE_S:
                raise _RenewStream("pings must not keep a stream open past the time limit")

        path = f"{self._path}/events/stream"
        with self._transport.stream(path, headers=headers, read_timeout_s=read_timeout_s, on_bytes=note_contact) as response:
            try:
                for message in EventSource(response).iter_sse():
                    if not message.data or not message.id:
                        continue
                    event = JobEvent.from_json(message.json())
                    yield event
                    if event.type in LAST_EVENT_TYPES:
                        return
            except (SSEError, ValueError) as error:
                raise UnexpectedAnswer(f"the event stream of {self._job_id} cannot be read: {error}") from error

    def _poll(self) -> Iterator[JobEvent]:
        yield from list_events(self._transport, self._job_id, after=self.last_seq)
        self._last_contact = time.monotonic()

    def _is_over(self) -> bool:
        try:
            job = Job.from_json(self._transport.get(self._path))
        except FarziClientError as error:
            self._forgive(error)
            return False
        self._last_contact = time.monotonic()
        return job.is_terminal

    def _forgive(self, error: FarziClientError) -> None:
        """Raise ``error`` unless going on may help: the service is away for a while, or streams do not get through."""
        self._remaining_s()
        no_stream = isinstance(error, UnexpectedAnswer) or (isinstance(error, ApiError) and error.status in {406, 501})
        if no_stream:
            self._num_fruitless = MAX_FRUITLESS_STREAMS
        elif not may_pass(error) or time.monotonic() - self._last_contact > PATIENCE_S:
            raise error

    def _pause(self) -> None:
        time.sleep(min(POLL_S, self._remaining_s()))

    def _remaining_s(self) -> float:
        if self._give_up_at is None:
            return SILENCE_S
        remaining_s = self._give_up_at - time.monotonic()
        if remaining_s <= 0:
            raise WaitTimeout(f"{self._job_id} is not done after {self._timeout_s:g} s; it goes on, wait again to see its end")
        return remaining_s


class JobPoller:
    """Looks at a job every so often on a thread of its own, because the thread that waits for events is busy waiting.

    An error of the callback ends the looking and comes out at the end of the block; an error of the connection does not: the
    stream of events is what decides whether the service is away.
    """

    def __init__(self, get: Callable[[], Job], on_progress: Callable[[Job], None], *, poll_s: float) -> None:
        self._get, self._on_progress, self._poll_s = get, on_progress, poll_s
        self._stopped = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._look, name="farzi-job-poller", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stopped.set()
        # Whoever leaves early is not kept waiting for an answer that may never come.
        self._thread.join(None if error is None else LEAVING_S)
        if self._failure is not None and error is None:
            raise self._failure

    def _look(self) -> None:
        while not self._stopped.is_set():
            try:
                self._look_once()
            except Exception as failure:
                if not self._stopped.is_set():
                    self._failure = failure
                return
            self._stopped.wait(self._poll_s)

    def _look_once(self) -> None:
        try:
            job = self._get()
        except FarziClientError:
            return
        self._on_progress(job)
