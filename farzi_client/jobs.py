"""Jobs: submit, follow, steer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from typing import Any, Literal

from farzi_client.errors import JobFailed
from farzi_client.following import JobFollower, JobPoller, list_events
from farzi_client.models import Job, JobEvent, MetricPoint, Page
from farzi_client.paging import get_page, iterate_pages
from farzi_client.transport import Transport, segment

JobKind = Literal["distillation"]
JobStatus = Literal["queued", "running", "cancelling", "paused", "succeeded", "failed", "cancelled"]

PATH = "/v1/jobs"
PROGRESS_POLL_S = 1.0


class Jobs:
    """``client.jobs``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def distill(
        self,
        dataset_id: str,
        spec: Mapping[str, Any] | None = None,
        *,
        preset: str | None = None,
        deadline_s: float | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """Submit a distillation of a ready data set.

        Args:
            dataset_id: what to distil.
            spec: fields that differ from the preset; see ``client.spec_schema()``.
            preset: shorthand for ``{"preset": ...}``; the service's default is ``standard``.
            deadline_s: seconds after which the job is stopped.
            metadata: your own labels; ``list`` can filter by them.
            idempotency_key: submit with the same key twice and there is still one job.
        """
        resolved = {**(spec or {}), **({"preset": preset} if preset else {})}
        return self.create(
            {"kind": "distillation", "dataset_id": dataset_id, "spec": resolved},
            deadline_s=deadline_s,
            metadata=metadata,
            idempotency_key=idempotency_key,
        )

    def create(
        self,
        body: Mapping[str, Any],
        *,
        deadline_s: float | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """Submit a job of any kind: ``body`` is what ``POST /v1/jobs`` takes."""
        optional = {"deadline_s": deadline_s, "metadata": dict(metadata) if metadata else None}
        full = {**body, **{name: value for name, value in optional.items() if value is not None}}
        return Job.from_json(self._transport.post(PATH, full, idempotency_key=idempotency_key))

    def list(
        self, *, status: JobStatus | None = None, kind: JobKind | None = None, metadata: Mapping[str, str] | None = None
    ) -> Iterator[Job]:
        """Yield every job that matches, newest first, page after page."""
        return iterate_pages(self._transport, PATH, Job, _filters(status, kind, metadata))

    def list_page(
        self,
        *,
        status: JobStatus | None = None,
        kind: JobKind | None = None,
        metadata: Mapping[str, str] | None = None,
        limit: int = 20,
        cursor: str | None = None,
    ) -> Page[Job]:
        params = {**_filters(status, kind, metadata), "limit": limit, "cursor": cursor}
        return get_page(self._transport, PATH, Job, params)

    def get(self, job_id: str) -> Job:
        return Job.from_json(self._transport.get(f"{PATH}/{segment(job_id)}"))

    def events(self, job_id: str, *, after: int = 0) -> Iterator[JobEvent]:
        """Yield the events there are so far, those with ``seq`` above ``after``."""
        return list_events(self._transport, job_id, after=after)

    def metrics(self, job_id: str) -> dict[str, tuple[MetricPoint, ...]]:
        """Return every series of the job by its name."""
        series = self._transport.get(f"{PATH}/{segment(job_id)}/metrics")
        return {name: tuple(MetricPoint.from_json(point) for point in points) for name, points in series.items()}

    def wait(
        self,
        job_id: str,
        *,
        timeout_s: float | None = None,
        after: int = 0,
        on_event: Callable[[JobEvent], None] | None = None,
        on_progress: Callable[[Job], None] | None = None,
    ) -> Job:
        """Wait until the job is over and return it, succeeded.

        Outages of up to two minutes are waited through: events that happened meanwhile are delivered afterwards, none twice.

        Args:
            job_id: job to wait for.
            timeout_s: seconds to wait at most; None waits for as long as it takes. A paused job is waited for.
            after: deliver only events with a ``seq`` above this.
            on_event: called with every event, in order, on the calling thread.
            on_progress: called about once a second with the job as it is, on a thread of its own.

        Raises:
            JobFailed: the job failed or was cancelled.
            WaitTimeout: it is not over in time; it goes on.
        """
        follower = JobFollower(self._transport, job_id, after=after, timeout_s=timeout_s)
        self.get(job_id)
        poller = JobPoller(lambda: self.get(job_id), on_progress, poll_s=PROGRESS_POLL_S) if on_progress else nullcontext()
        with poller:
            for event in follower.events():
                if on_event is not None:
                    on_event(event)
        job = self.get(job_id)
        if on_progress is not None:
            on_progress(job)
        if job.status != "succeeded":
            raise JobFailed(job)
        return job

    def cancel(self, job_id: str) -> Job:
        """Ask the job to stop for good; harmless to repeat."""
        return self._act(job_id, "cancel")

    def pause(self, job_id: str) -> Job:
        """Ask the job to stop at a checkpoint."""
        return self._act(job_id, "pause")

    def resume(self, job_id: str) -> Job:
        """Let a paused job go on from its checkpoint."""
        return self._act(job_id, "resume")

    def retry(self, job_id: str) -> Job:
        """Queue a failed or cancelled job again."""
        return self._act(job_id, "retry")

    def _act(self, job_id: str, action: str) -> Job:
        return Job.from_json(self._transport.post(f"{PATH}/{segment(job_id)}/{action}"))


def _filters(status: str | None, kind: str | None, metadata: Mapping[str, str] | None) -> dict[str, str | None]:
    labels = {f"metadata[{name}]": value for name, value in (metadata or {}).items()}
    return {"status": status, "kind": kind, **labels}
