"""One owner at a time: claims race, old tokens are refused, and what a run lost is found again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import delete, select, text, update
from sqlalchemy.orm import Session, sessionmaker

from app.clock import database_now
from app.datasets.models import Dataset, DatasetStatus
from app.db import attempts_while_away, make_engine, make_reading_session_factory, make_session_factory
from app.jobs import endings
from app.jobs.leases import Lease, LeaseLostError, LeaseState, claim, heartbeat, lock_held, look, next_queued
from app.jobs.models import Job, JobEvent, OutboxMessage, Run
from app.jobs.reaper import RING_AGAIN_JOBS, reap_all, reap_expired, ring_again
from app.jobs.service import present_job
from app.jobs.states import JobKind, JobStatus, Queue, RunOutcome, StopRequest
from app.settings import Settings
from tests.services.rows import add_dataset, add_job

pytestmark = pytest.mark.service
Sessions = sessionmaker[Session]


def new_job(sessions: Sessions, **fields: object) -> str:
    with sessions.begin() as session:
        return add_job(session, **fields).id  # type: ignore[arg-type]


def take(sessions: Sessions, job_id: str, *, lease_s: float = 60.0, max_runs: int = 3) -> Lease | None:
    with sessions.begin() as session:
        return claim(session, job_id, "test", lease_s=lease_s, max_runs=max_runs)


def taken(sessions: Sessions, job_id: str, *, lease_s: float = 60.0) -> Lease:
    lease = take(sessions, job_id, lease_s=lease_s)
    assert lease is not None
    return lease


def expire(sessions: Sessions, job_id: str) -> None:
    with sessions.begin() as session:
        job = session.get_one(Job, job_id)
        job.lease_expires_at = database_now(session) - timedelta(seconds=1)


def job_of(sessions: Sessions, job_id: str) -> Job:
    with sessions() as session:
        return session.get_one(Job, job_id)


def event_types(sessions: Sessions, job_id: str) -> list[str]:
    with sessions() as session:
        rows = session.execute(select(JobEvent.seq, JobEvent.type).where(JobEvent.job_id == job_id).order_by(JobEvent.seq))
        listed = [(seq, kind) for seq, kind in rows]
    assert [seq for seq, _ in listed] == list(range(1, len(listed) + 1))
    return [kind for _, kind in listed]


def outcomes(sessions: Sessions, job_id: str) -> list[str | None]:
    with sessions() as session:
        return list(session.scalars(select(Run.outcome).where(Run.job_id == job_id).order_by(Run.number)))


def test_eight_claims_at_once_have_one_winner(session_factory: Sessions) -> None:
    job_id = new_job(session_factory)
    with ThreadPoolExecutor(8) as pool:
        leases = list(pool.map(lambda _: take(session_factory, job_id), range(8)))
    assert [lease for lease in leases if lease] == [Lease(job_id, 1)]
    assert event_types(session_factory, job_id) == ["job.queued", "job.started"]
    assert outcomes(session_factory, job_id) == [None]


def test_a_live_lease_is_not_taken_and_an_expired_one_is(session_factory: Sessions) -> None:
    job_id = new_job(session_factory)
    first = taken(session_factory, job_id)
    assert take(session_factory, job_id) is None
    expire(session_factory, job_id)
    second = taken(session_factory, job_id)
    assert second.token == first.token + 1
    assert outcomes(session_factory, job_id) == [RunOutcome.LOST, None]
    assert event_types(session_factory, job_id) == ["job.queued", "job.started", "run.lost", "job.started"]


def test_a_stale_token_can_do_nothing(session_factory: Sessions) -> None:
    job_id = new_job(session_factory)
    stale = taken(session_factory, job_id)
    expire(session_factory, job_id)
    taken(session_factory, job_id)
    with session_factory() as session:
        for attempt in (lock_held, look):
            with pytest.raises(LeaseLostError):
                attempt(session, stale)
        with pytest.raises(LeaseLostError):
            heartbeat(session, stale, lease_s=60)


def test_a_reaped_job_that_nobody_took_refuses_its_old_run(session_factory: Sessions) -> None:
    job_id = new_job(session_factory)
    stale = taken(session_factory, job_id)
    expire(session_factory, job_id)
    with session_factory.begin() as session:
        assert reap_expired(session, max_runs=3) == [job_id]
    with session_factory() as session, pytest.raises(LeaseLostError):
        lock_held(session, stale)


def test_heartbeats_keep_the_lease_and_carry_requests(session_factory: Sessions) -> None:
    job_id = new_job(session_factory, deadline_s=3600.0)
    lease = taken(session_factory, job_id, lease_s=0.5)
    with session_factory.begin() as session:
        assert heartbeat(session, lease, lease_s=60) == LeaseState(None, deadline_passed=False)
    with session_factory.begin() as session:
        assert reap_expired(session, max_runs=3) == []
        session.get_one(Job, job_id).stop_requested = StopRequest.PAUSE
        session.get_one(Job, job_id).deadline_at = database_now(session)
    with session_factory.begin() as session:
        assert look(session, lease) == LeaseState(StopRequest.PAUSE, deadline_passed=True)


def test_expired_leases_are_requeued_until_there_were_too_many(session_factory: Sessions) -> None:
    job_id = new_job(session_factory)
    for number in (1, 2, 3):
        assert taken(session_factory, job_id).token == number
        expire(session_factory, job_id)
        with session_factory.begin() as session:
            reap_expired(session, max_runs=3)
    job = job_of(session_factory, job_id)
    assert (job.status, job.error_code, job.error_retryable) == (JobStatus.FAILED, "worker_lost", True)
    assert outcomes(session_factory, job_id) == [RunOutcome.LOST] * 3
    assert event_types(session_factory, job_id)[-2:] == ["run.lost", "job.failed"]
    assert take(session_factory, job_id) is None


@pytest.mark.parametrize(
    ("status", "request_", "ends"),
    [(JobStatus.CANCELLING, StopRequest.CANCEL, JobStatus.CANCELLED), (JobStatus.RUNNING, StopRequest.PAUSE, JobStatus.PAUSED)],
)
def test_a_lost_run_still_carries_out_what_was_asked(
    session_factory: Sessions, status: JobStatus, request_: StopRequest, ends: JobStatus
) -> None:
    job_id = new_job(session_factory)
    taken(session_factory, job_id)
    with session_factory.begin() as session:
        job = session.get_one(Job, job_id)
        job.status, job.stop_requested = status, request_
    expire(session_factory, job_id)
    with session_factory.begin() as session:
        reap_expired(session, max_runs=3)
    job = job_of(session_factory, job_id)
    assert (job.status, job.stop_requested, job.num_lost_runs) == (ends, None, 0)


def test_a_released_job_is_queued_with_its_message(session_factory: Sessions) -> None:
    job_id = new_job(session_factory)
    lease = taken(session_factory, job_id)
    with session_factory.begin() as session:
        endings.release(session, lock_held(session, lease), at=database_now(session))
        assert len(session.scalars(select(OutboxMessage).where(OutboxMessage.job_id == job_id)).all()) == 2
        assert next_queued(session, Queue.GPU) == job_id
    assert outcomes(session_factory, job_id) == [RunOutcome.RELEASED]


def test_a_retry_waits_and_is_claimed_by_nobody_before(session_factory: Sessions) -> None:
    job_id = new_job(session_factory)
    lease = taken(session_factory, job_id)
    with session_factory.begin() as session:
        endings.retry_later(session, lock_held(session, lease), "internal", "It broke.", max_runs=3, at=database_now(session))
    assert take(session_factory, job_id) is None
    with session_factory.begin() as session:
        assert next_queued(session, Queue.GPU) is None
        session.get_one(Job, job_id).available_at = database_now(session) - timedelta(seconds=1)
    assert taken(session_factory, job_id).token == 2
    assert event_types(session_factory, job_id)[-2:] == ["job.retried", "job.started"]


def test_a_validation_that_fails_for_good_leaves_an_invalid_data_set(session_factory: Sessions) -> None:
    with session_factory.begin() as session:
        dataset_id = add_dataset(session, status=DatasetStatus.VALIDATING).id
        job_id = add_job(session, session.get_one(Dataset, dataset_id), kind=JobKind.VALIDATION).id
    assert take(session_factory, job_id, max_runs=1) is not None
    expire(session_factory, job_id)
    with session_factory.begin() as session:
        reap_expired(session, max_runs=1)
        dataset = session.get_one(Dataset, dataset_id)
        assert dataset.status == DatasetStatus.INVALID
        assert dataset.report is not None
        assert dataset.report["problems"][0]["code"] == "worker_lost"


def test_the_only_supervisor_takes_over_at_once(session_factory: Sessions) -> None:
    job_id = new_job(session_factory)
    taken(session_factory, job_id)
    with session_factory.begin() as session:
        assert reap_all(session, max_runs=3) == [job_id]
        assert next_queued(session, Queue.GPU) == job_id
        assert next_queued(session, Queue.CPU) is None


def test_a_job_nobody_took_is_rung_again_once_a_minute(session_factory: Sessions) -> None:
    job_id = new_job(session_factory)
    with session_factory.begin() as session:
        job = session.get_one(Job, job_id)
        assert job.last_enqueued_at is not None
        job.last_enqueued_at -= timedelta(seconds=61)
        assert ring_again(session) == 0, "its message still waits to be sent"
        session.delete(session.scalars(select(OutboxMessage)).one())
        session.flush()
        assert ring_again(session) == 1
        assert ring_again(session) == 0


def test_only_the_head_of_each_queue_is_rung_again(session_factory: Sessions) -> None:
    with session_factory.begin() as session:
        dataset = add_dataset(session)
        waiting = [add_job(session, dataset).id for _ in range(RING_AGAIN_JOBS + 5)]
        validation = add_job(session, dataset, kind=JobKind.VALIDATION).id
        session.execute(delete(OutboxMessage))
        session.execute(update(Job).values(last_enqueued_at=None))
    for rung in ([*waiting[:RING_AGAIN_JOBS], validation], []):
        with session_factory.begin() as session:
            assert ring_again(session) == len(rung), "nobody behind the head is told of in the place of its jobs"
            messages = session.scalars(select(OutboxMessage.job_id).order_by(OutboxMessage.job_id)).all()
            assert messages == sorted(rung)
            session.execute(delete(OutboxMessage))


def test_a_job_that_cannot_be_lost_keeps_no_other_with_its_dead_run(session_factory: Sessions) -> None:
    broken, other = new_job(session_factory), new_job(session_factory)
    for job_id in (broken, other):
        taken(session_factory, job_id)
        expire(session_factory, job_id)
    with session_factory.begin() as session:
        job = session.get_one(Job, broken)
        session.add(JobEvent(job_id=broken, seq=job.next_event_seq, type="log.tail", data={}, at=database_now(session)))
    with session_factory.begin() as session:
        assert reap_expired(session, max_runs=3) == [other]
    assert (job_of(session_factory, broken).status, job_of(session_factory, other).status) == ("running", "queued")


@pytest.mark.parametrize("is_claimed", [False, True], ids=["claim", "heartbeat"])
def test_a_lease_begins_when_the_row_was_locked_not_when_it_was_waited_for(postgres_url: str, is_claimed: bool) -> None:
    engine = make_engine(Settings(database_url=postgres_url))
    sessions = make_session_factory(engine)
    job_id = new_job(sessions)
    lease = taken(sessions, job_id) if is_claimed else None

    def act() -> None:
        with sessions.begin() as session:
            if lease is None:
                assert claim(session, job_id, "test", lease_s=60.0, max_runs=3) is not None
            else:
                heartbeat(session, lease, lease_s=60.0)

    with ThreadPoolExecutor(1) as pool:
        with sessions.begin() as session:
            session.get_one(Job, job_id, with_for_update=True)
            acting = pool.submit(act)
            waiting = text(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            while not session.scalar(waiting):
                session.execute(text("SELECT pg_stat_clear_snapshot()"))
            locked_until = database_now(session)
        acting.result(30)
    expires_at = job_of(sessions, job_id).lease_expires_at
    assert expires_at is not None
    assert expires_at >= locked_until + timedelta(seconds=60)
    engine.dispose()


def test_a_job_and_its_runs_are_read_as_of_one_moment(session_factory: Sessions) -> None:
    job_id = new_job(session_factory)
    lease = taken(session_factory, job_id)
    engine = session_factory.kw["bind"]
    with make_reading_session_factory(engine)() as reading:
        job = reading.get_one(Job, job_id)
        with session_factory.begin() as session:
            endings.release(session, lock_held(session, lease), at=database_now(session))
        shown = present_job(reading, job)
    assert (shown.status, [run.outcome for run in shown.runs]) == (JobStatus.RUNNING, [None])


def test_a_tenant_with_many_jobs_takes_its_turn(session_factory: Sessions) -> None:
    with session_factory.begin() as session:
        crowded, lonely = add_dataset(session), add_dataset(session)
        many = [add_job(session, crowded).id for _ in range(6)]
        few = [add_job(session, lonely).id for _ in range(2)]
    order: list[str] = []
    for _ in range(8):
        with session_factory.begin() as session:
            job_id = next_queued(session, Queue.GPU)
        assert job_id is not None
        taken(session_factory, job_id)
        order.append(job_id)
    assert [job_id for job_id in order if job_id in many] == many, "oldest first within a tenant"
    assert set(few) <= set(order[:4]), "each tenant has a run before one has two more than another"


def test_a_store_that_is_away_costs_no_lost_run_and_fails_the_job_only_after_ten(session_factory: Sessions) -> None:
    job_id = new_job(session_factory)
    waits = []
    for number in range(1, 11):
        lease = taken(session_factory, job_id)
        with session_factory.begin() as session:
            endings.wait_for_storage(session, lock_held(session, lease), at=database_now(session))
        job = job_of(session_factory, job_id)
        assert job.num_lost_runs == 0
        if number < 10:
            assert (job.status, job.error_code) == (JobStatus.QUEUED, None)
            assert job.available_at is not None
            waits.append(round((job.available_at - job.updated_at).total_seconds()))
            with session_factory.begin() as session:
                session.get_one(Job, job_id).available_at = None
    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 300]
    assert (job.status, job.error_code, job.error_retryable) == (JobStatus.FAILED, "storage_unavailable", True)


def test_a_run_that_was_lost_in_between_begins_the_waits_for_storage_anew(session_factory: Sessions) -> None:
    job_id = new_job(session_factory)
    for ending in (endings.wait_for_storage, endings.release, endings.wait_for_storage):
        lease = taken(session_factory, job_id)
        with session_factory.begin() as session:
            job = lock_held(session, lease)
            ending(session, job, at=database_now(session))
            wait_s = (job.available_at - job.updated_at).total_seconds() if job.available_at else 0.0
            job.available_at = None
    assert wait_s == pytest.approx(2.0)


def test_a_process_that_freezes_with_a_lock_does_not_keep_its_job(postgres_url: str) -> None:
    engine = make_engine(Settings(database_url=postgres_url, lease_s=6.0, heartbeat_s=0.5))  # sessions idle for half a lease
    sessions = make_session_factory(engine)
    job_id = new_job(sessions)
    lease = taken(sessions, job_id, lease_s=0.1)
    frozen = sessions()
    lock_held(frozen, lease)  # and then nothing more, as after SIGSTOP in the middle of a heartbeat
    give_up_at = time.monotonic() + 30
    reaped: list[str] = []
    while not reaped:
        assert time.monotonic() < give_up_at, "the row stays locked, and reapers pass it by"
        with sessions.begin() as session:
            reaped = reap_expired(session, max_runs=3)
    assert reaped == [job_id]
    with sessions() as another:
        woken = iter([frozen, another])
        with pytest.raises(LeaseLostError):
            _lock_patiently(woken, lease)
    assert next(woken, None) is None, "what wakes up finds its connection gone, and only then its lease"
    frozen.close()
    engine.dispose()


def _lock_patiently(sessions: Iterator[Session], lease: Lease) -> None:
    for attempt in attempts_while_away(10.0):
        with attempt:
            lock_held(next(sessions), lease)
