"""Small real jobs, kept coming while faults are injected: distillations, and validations of uploads, which need no torch."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError

from app.jobs.models import Job
from tests.chaos.cluster import Cluster
from tests.chaos.evidence import collect
from tests.chaos.invariants import Expectations, find_violations
from tests.chaos.outcome import Outcome
from tests.worker.test_validation import COLUMNS, GOOD

ENDED = {"succeeded", "failed", "cancelled"}
# Some tens of steps: seconds of work with checkpoints in them, most of it the start of Python and torch.
OUTER_STEPS = 40


class Workload:
    """Jobs of one injection; what a client was told of is in ``accepted``."""

    def __init__(self, cluster: Cluster, *, outer_steps: int = OUTER_STEPS) -> None:
        self.cluster = cluster
        self.accepted: list[str] = []
        self.distillations: list[str] = []
        self.reference: str | None = None
        self._ended: set[str] = set()
        self._outer_steps = outer_steps
        self._scratch = cluster.directory / f"uploads-{time.monotonic_ns()}"
        self._scratch.mkdir()
        self.dataset_id = cluster.add_ready_dataset(self._scratch)

    def distil(self, **fields: Any) -> str:
        job_id = self.cluster.submit(self.dataset_id, outer_steps=self._outer_steps, **fields)
        self.accepted.append(job_id)
        self.distillations.append(job_id)
        return job_id

    def validate(self) -> str:
        _, job_id = self.cluster.submit_validation(GOOD, self._scratch, columns=COLUMNS)
        self.accepted.append(job_id)
        return job_id

    def run_undisturbed(self, job_id: str) -> float:
        """Wait for a job that nothing happens to and return the seconds of its run."""
        self.wait_until_ended([job_id])
        job = self.cluster.job(job_id)
        assert job.status == "succeeded", (job.error_code, job.error_message)
        assert job.started_at is not None
        assert job.ended_at is not None
        if job.kind == "distillation":
            self.reference = job_id
        return (job.ended_at - job.started_at).total_seconds()

    def statuses(self, job_ids: Iterable[str] | None = None) -> dict[str, str]:
        """Return the status of each job that was not over when it was last looked at: nobody retries any."""
        wanted = set(self.accepted if job_ids is None else job_ids) - self._ended
        with self.cluster.session_factory() as session:
            rows = session.execute(select(Job.id, Job.status).where(Job.id.in_(wanted)))
            found = {job_id: status for job_id, status in rows}  # noqa: C416  rows are no pairs to mypy
        self._ended |= {job_id for job_id, status in found.items() if status in ENDED}
        return found

    def unended(self, job_ids: Iterable[str] | None = None) -> list[str]:
        return [job_id for job_id, status in self.statuses(job_ids).items() if status not in ENDED]

    def wait_until_ended(self, job_ids: Iterable[str] | None = None, *, timeout_s: float = 900.0) -> None:
        """Wait; jobs that are not over by then are left to the invariants, which name them."""
        give_up_at = time.monotonic() + timeout_s
        while time.monotonic() < give_up_at:
            try:
                if not self.unended(job_ids):
                    return
            except OperationalError:  # a server that is about to come back
                self.cluster.engine.dispose()
            time.sleep(0.2)

    def examine(self, outcome: Outcome, **expected: Any) -> Outcome:
        """Stop every process, and look at what is left."""
        self.cluster.stop()
        self.cluster.processes.clear()
        evidence = collect(self.cluster.settings)
        mine = set(self.accepted)
        statuses = [job["status"] for job in evidence.jobs if job["id"] in mine]
        outcome.counts.update(f"jobs {status}" for status in statuses)
        outcome.counts.update(f"runs {run['outcome']}" for run in evidence.tables["runs"] if run["job_id"] in mine)
        given = {"accepted": self.accepted, "reference": self.reference, "equals_reference": self.distillations}
        outcome.violations += find_violations(self.cluster.settings, Expectations(**{**given, **expected}))
        return outcome


def now(cluster: Cluster) -> datetime:
    """Return the database's time: that of the rows that kills are compared with."""
    if cluster.engine.dialect.name == "sqlite":
        return datetime.now(UTC)
    with cluster.engine.connect() as connection:
        at = connection.scalar(text("SELECT clock_timestamp()"))
    assert isinstance(at, datetime)
    return at
