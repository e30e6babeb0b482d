"""Jobs: submit, follow, steer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from typing import Any, Unpack

from farzi_client._async.artifacts import AsyncArtifacts
from farzi_client._async.bound_job import AsyncBoundJob
from farzi_client._async.concurrency import Repeating, call
from farzi_client._async.following import AsyncJobFollower, list_events
from farzi_client._async.paging import get_page, iterate_pages
from farzi_client._async.transport import AsyncTransport
from farzi_client.errors import FarziClientError, JobFailed
from farzi_client.jobs import JobFilters, read_filters
from farzi_client.models import Comparison, Estimate, Job, JobEvent, MetricPoint, Page
from farzi_client.transport import segment

PATH = "/v1/jobs"
PROGRESS_POLL_S = 1.0


class AsyncJobs:
    """``client.jobs``."""

    def __init__(self, transport: AsyncTransport, artifacts: AsyncArtifacts) -> None:
        self._transport = transport
        self._artifacts = artifacts

    async def distill(
        self,
        dataset_id: str,
        spec: Mapping[str, Any] | None = None,
        *,
        preset: str | None = None,
        deadline_s: float | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> AsyncBoundJob:
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
        return await self.create(
            {"kind": "distillation", "dataset_id": dataset_id, "spec": resolved},
            deadline_s=deadline_s,
            metadata=metadata,
            idempotency_key=idempotency_key,
        )

    async def evaluate(
        self,
        job_id: str,
        spec: Mapping[str, Any] | None = None,
        *,
        students: Sequence[str] | None = None,
        num_seeds: int | None = None,
        deadline_s: float | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> AsyncBoundJob:
        """Submit an evaluation: judge the result of a succeeded distillation once more.

        Args:
            job_id: the distillation.
            spec: fields that differ from how it was judged; see ``client.spec_schema(kind="evaluation")``.
            students: shorthand for ``{"students": [...]}``; the service's default is every architecture of the task.
            num_seeds: shorthand for ``{"num_seeds": ...}``.
            deadline_s: seconds after which the job is stopped.
            metadata: your own labels; ``list`` can filter by them.
            idempotency_key: submit with the same key twice and there is still one job.
        """
        named = {"students": list(students) if students else None, "num_seeds": num_seeds}
        resolved = {**(spec or {}), **{name: value for name, value in named.items() if value is not None}}
        return await self.create(
            {"kind": "evaluation", "job_id": job_id, "spec": resolved},
            deadline_s=deadline_s,
            metadata=metadata,
            idempotency_key=idempotency_key,
        )

    async def estimate(self, body: Mapping[str, Any]) -> Estimate:
        """Return what a job would take, and submit nothing: ``body`` is what ``create`` takes."""
        return Estimate.from_json(await self._transport.post(f"{PATH}/estimate", dict(body)))

    async def compare(self, *job_ids: str) -> Comparison:
        """Put 2 to 10 jobs next to each other: fields of their specs that differ, metrics, seconds and bytes."""
        return Comparison.from_json(await self._transport.get(f"{PATH}/compare", {"ids": ",".join(job_ids)}))

    async def create(
        self,
        body: Mapping[str, Any],
        *,
        deadline_s: float | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> AsyncBoundJob:
        """Submit a job of any kind: ``body`` is what ``POST /v1/jobs`` takes."""
        optional = {"deadline_s": deadline_s, "metadata": dict(metadata) if metadata else None}
        full = {**body, **{name: value for name, value in optional.items() if value is not None}}
        return self._bind(await self._transport.post(PATH, full, idempotency_key=idempotency_key))

    def list(self, **filters: Unpack[JobFilters]) -> AsyncIterator[AsyncBoundJob]:
        """Yield every job that passes all filters, newest first, page after page.

        Args:
            **filters: ``status``, ``kind``, ``dataset_id``, ``source_job_id``, ``created_after``, ``created_before`` and
                ``metadata``, as :class:`farzi_client.jobs.JobFilters` describes them.
        """
        return self._bind_each(iterate_pages(self._transport, PATH, AsyncBoundJob, read_filters(filters)))

    async def list_page(
        self, *, limit: int = 20, cursor: str | None = None, **filters: Unpack[JobFilters]
    ) -> Page[AsyncBoundJob]:
        """Return one page of what :meth:`list` yields."""
        query = {**read_filters(filters), "limit": limit, "cursor": cursor}
        page = await get_page(self._transport, PATH, AsyncBoundJob, query)
        return replace(page, data=tuple(job.bind(self, self._artifacts) for job in page.data))

    async def get(self, job_id: str) -> AsyncBoundJob:
        return self._bind(await self._transport.get(f"{PATH}/{segment(job_id)}"))

    async def label(self, job_id: str, labels: Mapping[str, str | None]) -> AsyncBoundJob:
        """Set labels; None removes one, those not named stay."""
        return self._bind(await self._transport.request("PATCH", f"{PATH}/{segment(job_id)}", json={"metadata": dict(labels)}))

    async def delete(self, job_id: str) -> None:
        """Delete a job that is over, with its artifacts, events and metrics."""
        await self._transport.delete(f"{PATH}/{segment(job_id)}")

    def events(self, job_id: str, *, after: int = 0) -> AsyncIterator[JobEvent]:
        """Yield the events there are so far, those with ``seq`` above ``after``."""
        return list_events(self._transport, job_id, after=after)

    async def metrics(self, job_id: str) -> dict[str, tuple[MetricPoint, ...]]:
        """Return every series of the job by its name."""
        series = await self._transport.get(f"{PATH}/{segment(job_id)}/metrics")
        return {name: tuple(MetricPoint.from_json(point) for point in points) for name, points in series.items()}

    async def wait(
        self,
        job_id: str,
        *,
        timeout_s: float | None = None,
        after: int = 0,
        on_event: Callable[[JobEvent], object] | None = None,
        on_progress: Callable[[Job], object] | None = None,
    ) -> AsyncBoundJob:
        """Wait until the job is over and return it, succeeded.

        Outages of up to two minutes are waited through: events that happened meanwhile are delivered afterwards, none twice.

        Args:
            job_id: job to wait for.
            timeout_s: seconds to wait at most; None waits for as long as it takes. A paused job is waited for.
            after: deliver only events with a ``seq`` above this.
            on_event: called with every event, in order. The asynchronous client awaits what it returns, if that can be.
            on_progress: called about once a second with the job as it is, beside the events: by the blocking client on a
                thread of its own.

        Raises:
            JobFailed: the job failed or was cancelled.
            WaitTimeout: it is not over in time; it goes on.
        """
        follower = AsyncJobFollower(self._transport, job_id, after=after, timeout_s=timeout_s)
        await self.get(job_id)

        async def look() -> None:
            # An error of the connection does not end the looking: the stream decides whether the service is away.
            try:
                job = await self.get(job_id)
            except FarziClientError:
                return
            if on_progress is not None:
                await call(on_progress, job)

        async with AsyncExitStack() as stack:
            if on_progress is not None:
                await stack.enter_async_context(Repeating(look, every_s=PROGRESS_POLL_S))
            async with aclosing(follower.events()) as events:
                async for event in events:
                    if on_event is not None:
                        await call(on_event, event)
        job = await self.get(job_id)
        if on_progress is not None:
            await call(on_progress, job)
        if job.status != "succeeded":
            raise JobFailed(job)
        return job

    async def cancel(self, job_id: str) -> AsyncBoundJob:
        """Ask the job to stop for good; harmless to repeat."""
        return await self._act(job_id, "cancel")

    async def pause(self, job_id: str) -> AsyncBoundJob:
        """Ask the job to stop at a checkpoint."""
        return await self._act(job_id, "pause")

    async def resume(self, job_id: str) -> AsyncBoundJob:
        """Let a paused job go on from its checkpoint."""
        return await self._act(job_id, "resume")

    async def retry(self, job_id: str) -> AsyncBoundJob:
        """Queue a failed or cancelled job again."""
        return await self._act(job_id, "retry")

    def _bind(self, answer: Any) -> AsyncBoundJob:
        return AsyncBoundJob.from_json(answer).bind(self, self._artifacts)

    async def _bind_each(self, jobs: AsyncIterator[AsyncBoundJob]) -> AsyncIterator[AsyncBoundJob]:
        async for job in jobs:
            yield job.bind(self, self._artifacts)

    async def _act(self, job_id: str, action: str) -> AsyncBoundJob:
        return self._bind(await self._transport.post(f"{PATH}/{segment(job_id)}/{action}"))
