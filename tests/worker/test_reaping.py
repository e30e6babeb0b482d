"""Leases that ran out while the database was away are not held against the runs, which could not keep them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from app.clock import database_now
from app.db import make_engine, make_session_factory
from app.jobs.leases import Lease, claim, heartbeat
from app.jobs.models import Job
from app.jobs.states import JobStatus
from app.settings import Settings
from tests.chaos.proxy import FaultProxy
from tests.services.rows import add_job
from worker.presence import Presence
from worker.reaping import HEARTBEATS_BEFORE, Reaper

pytestmark = pytest.mark.service
Sessions = sessionmaker[Session]
HEARTBEAT_S = 10.0
PATIENCE_S = HEARTBEATS_BEFORE * HEARTBEAT_S


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def direct(postgres_url: str) -> Iterator[Sessions]:
    engine = make_engine(Settings(database_url=postgres_url))
    yield make_session_factory(engine)
    engine.dispose()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reaper(postgres_url: str, proxy: FaultProxy, clock: Clock) -> Iterator[Reaper]:
    url = f"postgresql+psycopg://postgres@127.0.0.1:{proxy.port}/{make_url(postgres_url).database}"
    settings = Settings(database_url=url, heartbeat_s=HEARTBEAT_S)
    engine = make_engine(settings)
    yield Reaper(settings, make_session_factory(engine), Presence(None), clock=clock)
    engine.dispose()


def overdue(sessions: Sessions) -> Lease:
    with sessions.begin() as session:
        lease = claim(session, add_job(session).id, "test", lease_s=60.0, max_runs=3)
        assert lease is not None
        session.get_one(Job, lease.job_id).lease_expires_at = database_now(session)
    return lease


def status(sessions: Sessions, lease: Lease) -> str:
    with sessions() as session:
        return session.get_one(Job, lease.job_id).status


def look_for(reaper: Reaper, clock: Clock, seconds: float) -> None:
    """Reap every five seconds, as maintenance does."""
    give_up_at = clock.now + seconds
    while clock.now < give_up_at:
        reaper.reap()
        clock.now += 5.0


def test_runs_may_keep_their_leases_first_when_the_database_is_back(
    direct: Sessions, proxy: FaultProxy, reaper: Reaper, clock: Clock
) -> None:
    look_for(reaper, clock, 2 * PATIENCE_S)
    well, lost = overdue(direct), overdue(direct)
    proxy.go_away()
    with pytest.raises(OperationalError):
        reaper.reap()
    proxy.come_back()
    look_for(reaper, clock, PATIENCE_S)
    assert {status(direct, lease) for lease in (well, lost)} == {JobStatus.RUNNING}
    with direct.begin() as session:
        heartbeat(session, well, lease_s=60.0)
    look_for(reaper, clock, 10.0)
    assert (status(direct, well), status(direct, lost)) == (JobStatus.RUNNING, JobStatus.QUEUED)


@pytest.mark.parametrize("frozen_s", [0.0, 300.0])
def test_a_reaper_that_starts_or_wakes_up_waits_too(direct: Sessions, reaper: Reaper, clock: Clock, frozen_s: float) -> None:
    if frozen_s:
        look_for(reaper, clock, 2 * PATIENCE_S)
        clock.now += frozen_s
    lease = overdue(direct)
    look_for(reaper, clock, PATIENCE_S)
    assert status(direct, lease) == JobStatus.RUNNING
    look_for(reaper, clock, 10.0)
    assert status(direct, lease) == JobStatus.QUEUED
