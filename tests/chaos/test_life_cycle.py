"""Random lives of jobs, on both databases, step by step the same as the model's; what holds an old lease changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select, update
from sqlalchemy.orm import Session, sessionmaker

from app.clock import database_now
from app.errors import ServiceError
from app.jobs import control, endings
from app.jobs.leases import Lease, LeaseLostError, claim, heartbeat, lock_held, look
from app.jobs.models import Job, JobEvent, Manifest, OutboxMessage, Run
from app.jobs.outbox import relay
from app.jobs.publishing import publish
from app.jobs.reaper import reap_expired, ring_again
from app.settings import Settings
from app.tenants.quotas import QuotaGuard
from tests.chaos.life_cycle_model import LEASED, MAX_RUNS, ModelJob, RefusedError
from tests.services.rows import add_dataset, add_job

pytestmark = pytest.mark.service
AGO = timedelta(minutes=2)
# Few, so that each has a long life.
MOST_JOBS = 2


def _fail(session: Session, job: Job, at: Any) -> None:
    endings.fail(session, job, "internal", "it failed", retryable=True, at=at)


def _lose(session: Session, job: Job, at: Any) -> None:
    endings.lose(session, job, "it was killed", max_runs=MAX_RUNS, at=at)


def _retry_later(session: Session, job: Job, at: Any) -> None:
    endings.retry_later(session, job, "internal", "it failed", max_runs=MAX_RUNS, at=at)


def _wait_for_storage(session: Session, job: Job, at: Any) -> None:
    endings.wait_for_storage(session, job, at=at)


def _release(session: Session, job: Job, at: Any) -> None:
    endings.release(session, job, at=at)


ENDINGS: dict[str, Callable[[Session, Job, Any], None]] = {
    "fail": _fail,
    "lose": _lose,
    "release": _release,
    "retry_later": _retry_later,
    "wait_for_storage": _wait_for_storage,
}
REQUESTS = ("cancel", "pause", "resume", "retry")
SCRIPT = (*REQUESTS, *sorted(ENDINGS), "be_cut_off", *["claim"] * 6)


class LifeCycle(RuleBasedStateMachine):
    """Jobs of the database and of the model, given the same things to do."""

    sessions: sessionmaker[Session]
    jobs = Bundle("jobs")

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[str, ModelJob] = {}
        self.tenants: dict[str, str] = {}
        self.messages: list[str] = []
        self.leases: list[Lease] = []
        self.quotas = QuotaGuard(Settings())

    def teardown(self) -> None:
        """The next life does not meet what this one left."""
        with self.sessions.begin() as session:
            over = {"status": "cancelled", "ended_at": Job.created_at, "lease_expires_at": None, "stop_requested": None}
            session.execute(update(Job).values(**over))
            session.query(OutboxMessage).delete()

    @initialize(target=jobs)
    def submit_the_first(self) -> str:
        return self._submit()

    @precondition(lambda self: len(self.model) < MOST_JOBS)
    @rule(target=jobs)
    def submit(self) -> str:
        return self._submit()

    def _submit(self) -> str:
        with self.sessions.begin() as session:
            dataset = add_dataset(session)
            job_id = add_job(session, dataset).id
        self.model[job_id], self.tenants[job_id] = ModelJob(), dataset.tenant_id
        return job_id

    @rule(job_id=jobs)
    def claim(self, job_id: str) -> None:
        with self.sessions.begin() as session:
            lease = claim(session, job_id, "model", lease_s=3600, max_runs=MAX_RUNS)
        expected = self.model[job_id].claim()
        assert (None if lease is None else lease.token) == expected
        if lease is not None:
            self.leases.append(lease)

    @precondition(lambda self: self.leases)
    @rule(end=st.sampled_from(sorted(ENDINGS)))
    def end(self, end: str) -> None:
        """The newest run ends, if it still may."""
        self._end(self.leases[-1], end)

    @precondition(lambda self: len(self.leases) > 1)
    @rule(end=st.sampled_from(sorted(ENDINGS)), which=st.integers(0, 1000))
    def end_an_old_run(self, end: str, which: int) -> None:
        self._end(self.leases[which % len(self.leases)], end)

    @precondition(lambda self: self.leases)
    @rule(age=st.integers(0, 3))
    def publish(self, age: int) -> None:
        lease = self.leases[max(-1 - age, -len(self.leases))]
        if self._write(lease, lambda session: publish(session, lease, {"files": {}}, [])):
            self.model[lease.job_id].succeed()

    @precondition(lambda self: self.leases)
    @rule(age=st.integers(0, 3))
    def keep(self, age: int) -> None:
        lease = self.leases[max(-1 - age, -len(self.leases))]
        self._write(lease, lambda session: look(session, lease))
        if self._write(lease, lambda session: heartbeat(session, lease, lease_s=3600)):
            self.model[lease.job_id].lease_ran_out = False

    @rule(job_id=jobs)
    def be_cut_off(self, job_id: str) -> None:
        """The lease runs out, and another worker takes the job at once."""
        self._run_out(job_id)
        self.claim(job_id)

    @rule(job_id=jobs)
    def be_cut_off_for_a_while(self, job_id: str) -> None:
        self._run_out(job_id)

    @rule(job_id=jobs)
    def let_the_wait_be_over(self, job_id: str) -> None:
        with self.sessions.begin() as session:
            session.get_one(Job, job_id).available_at = None
        self.model[job_id].waits = False

    @rule()
    def reap(self) -> None:
        with self.sessions.begin() as session:
            reap_expired(session, max_runs=MAX_RUNS)
        for job in self.model.values():
            job.reap()

    @rule(job_id=jobs, request=st.sampled_from(REQUESTS))
    def ask_once_more(self, job_id: str, request: str) -> None:
        self.ask(job_id, request)
        self.ask(job_id, request)

    @rule(job_id=jobs, request=st.sampled_from(REQUESTS))
    def ask(self, job_id: str, request: str) -> None:
        given = (self.quotas,) if request == "retry" else ()
        answer = expected = None
        try:
            with self.sessions.begin() as session:
                getattr(control, f"{request}_job")(session, self.tenants[job_id], job_id, *given)
        except ServiceError as error:
            answer = error.code
        try:
            getattr(self.model[job_id], request)()
        except RefusedError:
            expected = "invalid_job_status"
        assert answer == expected, f"{request} of a job that was {self.model[job_id].status}"

    @rule(job_id=jobs, script=st.lists(st.sampled_from(SCRIPT), min_size=20, max_size=30))
    def live_on(self, job_id: str, script: list[str]) -> None:
        """Many steps at once: single ones are seldom as many as a long life needs."""
        for step in script:
            own = [lease for lease in self.leases if lease.job_id == job_id]
            if step in REQUESTS:
                self.ask(job_id, step)
            elif step in ENDINGS and own:
                self._end(own[-1], step)
            elif step == "claim":
                self.let_the_wait_be_over(job_id)
                self.claim(job_id)
            elif step == "be_cut_off":
                self.be_cut_off(job_id)
            self.agree()

    @rule()
    def ring(self) -> None:
        """A minute later, with Redis emptied: every job that waits is announced again."""
        with self.sessions.begin() as session:
            for job_id in self.model:
                session.get_one(Job, job_id).last_enqueued_at = database_now(session) - AGO
            session.flush()
            ring_again(session)

    @rule()
    def tell(self) -> None:
        self.messages.clear()
        relay(self.sessions, lambda job_id, _queue: self.messages.append(job_id))

    @invariant()
    def agree(self) -> None:
        with self.sessions() as session:
            for job_id, model in self.model.items():
                self._compare(session, session.get_one(Job, job_id), model)

    def _compare(self, session: Session, job: Job, model: ModelJob) -> None:
        row = (job.status, job.lease_token, job.stop_requested, job.num_lost_runs, job.available_at is not None)
        assert row == (model.status, model.token, model.stop, model.num_lost, model.waits), job.id
        assert (job.lease_expires_at is not None) == (model.status in LEASED)
        assert (job.ended_at is not None) == (model.status in {"succeeded", "failed", "cancelled"})
        events = session.execute(select(JobEvent.seq, JobEvent.type).where(JobEvent.job_id == job.id).order_by(JobEvent.seq))
        assert [(seq, kind) for seq, kind in events] == list(enumerate(model.events, start=1))
        outcomes = session.scalars(select(Run.outcome).where(Run.job_id == job.id).order_by(Run.number)).all()
        assert list(outcomes) == model.outcomes
        assert session.scalar(select(Manifest.lease_token).where(Manifest.job_id == job.id)) == model.published_by
        told = session.scalar(select(OutboxMessage.id).where(OutboxMessage.job_id == job.id).limit(1)) is not None
        assert told or job.last_enqueued_at is not None, "a queued job that nobody would ever hear of"

    def _run_out(self, job_id: str) -> None:
        with self.sessions.begin() as session:
            job = session.get_one(Job, job_id)
            if job.lease_expires_at is not None:
                job.lease_expires_at = database_now(session) - AGO
        self.model[job_id].lease_ran_out = self.model[job_id].status in LEASED

    def _end(self, lease: Lease, end: str) -> None:
        def act(session: Session) -> None:
            ENDINGS[end](session, lock_held(session, lease), database_now(session))

        if self._write(lease, act):
            getattr(self.model[lease.job_id], end)()

    def _write(self, lease: Lease, act: Callable[[Session], object]) -> bool:
        """Write under the lease; return whether it was held, which the model has to say too."""
        try:
            with self.sessions.begin() as session:
                act(session)
            held = True
        except LeaseLostError:
            held = False
        assert held == self.model[lease.job_id].holds(lease.token)
        return held


def test_every_life_is_as_the_model_says(session_factory: sessionmaker[Session]) -> None:
    machine = type("LifeCycleOnOneDatabase", (LifeCycle,), {"sessions": session_factory})
    cheap = settings(
        max_examples=60,
        stateful_step_count=8,
        deadline=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    run_state_machine_as_test(machine, settings=cheap)


@pytest.mark.nightly
def test_many_lives_are_as_the_model_says(session_factory: sessionmaker[Session]) -> None:
    machine = type("LifeCycleOnOneDatabase", (LifeCycle,), {"sessions": session_factory})
    thorough = settings(max_examples=300, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(machine, settings=thorough)
