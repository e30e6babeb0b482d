"""What a run writes: batched, fenced, finite, and in an order without gaps whoever else writes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from app.clock import database_now
from app.jobs.events import EventType, append_event
from app.jobs.leases import LeaseLostError, claim
from app.jobs.models import Job, JobEvent, JobMetric
from app.jobs.progress import JobWriter
from app.jobs.states import JobStatus
from tests.services.rows import add_job

pytestmark = pytest.mark.service
Sessions = sessionmaker[Session]


@pytest.fixture
def writer(session_factory: Sessions) -> JobWriter:
    with session_factory.begin() as session:
        job_id = add_job(session).id
    with session_factory.begin() as session:
        lease = claim(session, job_id, "test", lease_s=60, max_runs=3)
    assert lease is not None
    return JobWriter(session_factory, lease)


def series(sessions: Sessions, job_id: str) -> dict[tuple[str, int], float]:
    with sessions() as session:
        rows = session.scalars(select(JobMetric).where(JobMetric.job_id == job_id)).all()
        return {(row.name, row.step): row.value for row in rows}


def test_metrics_wait_for_each_other_and_repeat_harmlessly(session_factory: Sessions, writer: JobWriter) -> None:
    job_id = writer.lease.job_id
    writer.metrics(1, {"outer_loss": 3.0})
    writer.metrics(2, {"outer_loss": 2.0, "norm": math.nan, "other": math.inf})
    assert series(session_factory, job_id) == {("outer_loss", 1): 3.0}, "the first is written at once, the next waits"
    writer.metrics(2, {"outer_loss": 2.5})
    writer.flush()
    assert series(session_factory, job_id) == {("outer_loss", 1): 3.0, ("outer_loss", 2): 2.5}
    writer.metrics(1, {"outer_loss": 9.0})
    writer.flush()
    assert series(session_factory, job_id)["outer_loss", 1] == 9.0


def test_many_metrics_fit(session_factory: Sessions, writer: JobWriter) -> None:
    writer.flush()
    writer.metrics(1, {f"m{number}": float(number) for number in range(2500)})
    writer.flush()
    assert len(series(session_factory, writer.lease.job_id)) == 2500


def test_progress_has_a_pace(session_factory: Sessions, writer: JobWriter) -> None:
    writer.progress(10, 100)
    time.sleep(0.2)
    writer.progress(20, 100)
    writer.flush()
    with session_factory() as session:
        job = session.get_one(Job, writer.lease.job_id)
    assert (job.progress_step, job.progress_total) == (20, 100)
    assert job.progress_eta_s is not None
    assert 1.4 < job.progress_eta_s < 8.0


def test_an_event_follows_the_metrics_that_were_said_before_it(session_factory: Sessions, writer: JobWriter) -> None:
    writer.flush()
    writer.metrics(1, {"outer_loss": 1.0})
    writer.phase("distillation")
    assert series(session_factory, writer.lease.job_id) == {("outer_loss", 1): 1.0}
    with session_factory() as session:
        assert session.get_one(Job, writer.lease.job_id).phase == "distillation"


def test_two_checkpoints_are_kept(session_factory: Sessions, writer: JobWriter) -> None:
    assert [writer.checkpoint(key, step) for step, key in enumerate("abc")] == [None, None, "a"]
    with session_factory() as session:
        job = session.get_one(Job, writer.lease.job_id)
    assert (job.checkpoint_key, job.previous_checkpoint_key) == ("c", "b")


def test_a_checkpoint_whose_commit_was_not_heard_of_is_told_once_more(session_factory: Sessions, writer: JobWriter) -> None:
    keys = [writer.checkpoint("first", 1), writer.checkpoint("second", 2), writer.checkpoint("second", 2)]
    assert keys == [None, None, None]
    with session_factory() as session:
        job = session.get_one(Job, writer.lease.job_id)
        assert (job.checkpoint_key, job.previous_checkpoint_key) == ("second", "first"), "the one before is kept"


def test_only_a_checkpoint_beyond_all_before_it_makes_up_for_lost_runs(session_factory: Sessions, writer: JobWriter) -> None:
    def lose_two_runs() -> None:
        with session_factory.begin() as session:
            session.get_one(Job, writer.lease.job_id).num_lost_runs = 2

    counts: list[int] = []
    for step in (3, 5, 4, 5, 6):
        lose_two_runs()
        writer.checkpoint(f"checkpoint {step} of {len(counts)}", step)
        with session_factory() as session:
            counts.append(session.get_one(Job, writer.lease.job_id).num_lost_runs)
    assert counts == [0, 0, 2, 2, 0], "a run that does the same work once more has come no further"


def test_failing_ends_the_job_and_every_later_write(session_factory: Sessions, writer: JobWriter) -> None:
    writer.fail("numerical_failure", "The loss is NaN.")
    with session_factory() as session:
        job = session.get_one(Job, writer.lease.job_id)
    assert (job.status, job.error_code, job.error_retryable) == (JobStatus.FAILED, "numerical_failure", False)
    assert job.ended_at is not None
    writes: list[Callable[[], object]] = [
        writer.flush,
        lambda: writer.event(EventType.LOG_TAIL, {}),
        lambda: writer.phase("teacher"),
        lambda: writer.checkpoint("k", 1),
        lambda: writer.fail("internal", "again"),
    ]
    for write in writes:
        with pytest.raises(LeaseLostError):
            write()


def test_sequence_numbers_are_dense_whoever_writes(session_factory: Sessions, writer: JobWriter) -> None:
    job_id = writer.lease.job_id

    def from_outside(number: int) -> None:
        with session_factory() as session:
            append_event(session, job_id, EventType.LOG_TAIL, {"number": number}, at=database_now(session))
            session.rollback() if number % 5 == 0 else session.commit()

    with ThreadPoolExecutor(6) as pool:
        written = [pool.submit(from_outside, number) for number in range(20)]
        written += [pool.submit(writer.event, EventType.CHECKPOINT_WRITTEN, {"step": number}) for number in range(10)]
    for future in written:
        future.result()
    with session_factory() as session:
        numbers = list(session.scalars(select(JobEvent.seq).where(JobEvent.job_id == job_id).order_by(JobEvent.seq)))
    assert numbers == list(range(1, 2 + 16 + 10 + 1))
