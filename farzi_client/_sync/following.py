# Made from farzi_client/_async/following.py by python -m tests.farzi_client.twins: change it there.
"""Follow a job to its end: a stream of events that survives broken connections, and polls where streams do not get through.

Knows nothing of what the events mean, but which of them may be the last.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing

from httpx_sse import EventSource, SSEError

from farzi_client import following
from farzi_client._sync.concurrency import sleep
from farzi_client._sync.paging import iterate_pages
from farzi_client._sync.transport import Transport
from farzi_client.errors import FarziClientError, UnexpectedAnswer
from farzi_client.models import Job, JobEvent
from farzi_client.transport import segment


def list_events(transport: Transport, job_id: str, *, after: int) -> Iterator[JobEvent]:
    """Yield the events there are so far, page after page."""
    return iterate_pages(transport, f"/v1/jobs/{segment(job_id)}/events", JobEvent, {"after": after})


class JobFollower:
    """Follows one job. ``last_seq`` is where a new follower would go on."""

    def __init__(self, transport: Transport, job_id: str, *, after: int = 0, timeout_s: float | None = None) -> None:
        self._transport = transport
        self._path = f"/v1/jobs/{segment(job_id)}"
        self._job_id = job_id
        self._patience = following.Patience(job_id, timeout_s)
        self.last_seq = after

    def events(self) -> Generator[JobEvent]:
        """Yield every event after ``last_seq``, each once and in order, until the job is over.

        Raises:
            WaitTimeout: the job is not over in time.
            ConnectionFailed: the service was away for too long.
        """
        while True:
            seq_before, was_streaming = self.last_seq, self._patience.is_streaming
            with closing(self._survive(self._stream if was_streaming else self._poll)) as events:
                for event in events:
                    yield event
            if self._is_over():
                with closing(self._survive(self._poll)) as events:
                    for event in events:
                        yield event
                return
            brought_events = self.last_seq > seq_before
            self._patience.note_round(was_streaming=was_streaming, brought_events=brought_events)
            if not brought_events:
                sleep(min(following.POLL_S, self._patience.remaining_s()))

    def _survive(self, source: Callable[[], Generator[JobEvent]]) -> Generator[JobEvent]:
        """Yield from one source until it ends; errors that may pass end it quietly."""
        try:
            with closing(source()) as events:
                for event in events:
                    if event.seq > self.last_seq:
                        self.last_seq = event.seq
                        yield event
        except following.RenewStream:
            return
        except FarziClientError as error:
            self._patience.forgive(error)

    def _stream(self) -> Generator[JobEvent]:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store", "Last-Event-ID": str(self.last_seq)}
        read_timeout_s = min(following.SILENCE_S, self._patience.remaining_s())

        def note_contact() -> None:
            self._patience.note_contact()
            if self._patience.remaining_s() < read_timeout_s - following.TIMEOUT_TOLERANCE_S:
                raise following.RenewStream("pings must not keep a stream open past the time limit")

        path = f"{self._path}/events/stream"
        opened = self._transport.stream(path, headers=headers, read_timeout_s=read_timeout_s, on_bytes=note_contact)
        with opened as response:
            try:
                for message in EventSource(response).iter_sse():
                    if not message.data or not message.id:
                        continue
                    event = JobEvent.from_json(message.json())
                    yield event
                    if event.type in following.LAST_EVENT_TYPES:
                        return
            except (SSEError, ValueError) as error:
                raise UnexpectedAnswer(f"the event stream of {self._job_id} cannot be read: {error}") from error

    def _poll(self) -> Generator[JobEvent]:
        for event in list_events(self._transport, self._job_id, after=self.last_seq):
            yield event
        self._patience.note_contact()

    def _is_over(self) -> bool:
        try:
            job = Job.from_json(self._transport.get(self._path))
        except FarziClientError as error:
            self._patience.forgive(error)
            return False
        self._patience.note_contact()
        return job.is_terminal
