"""How often a run writes checkpoints: by the clock, and less often where they take long."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from app.datasets.models import Dataset
from app.jobs.events import EventType
from app.jobs.leases import claim
from app.jobs.models import Job, JobEvent
from app.jobs.progress import JobWriter
from app.settings import Settings
from app.storage import make_object_store
from tests.services.rows import add_job
from worker.checkpoints import CheckpointKeeper
from worker.context import RunContext

INTERVAL_S = 60.0


@pytest.fixture
def context(session_factory: sessionmaker[Session], tmp_path: Path) -> RunContext:
    """A run that has just begun."""
    settings = Settings(data_dir=tmp_path / "data", checkpoint_interval_s=INTERVAL_S, checkpoint_max_share=0.02)
    with session_factory.begin() as session:
        job_id = add_job(session).id
        lease = claim(session, job_id, "test", lease_s=60.0, max_runs=3)
        job = session.get_one(Job, job_id)
        dataset = session.get_one(Dataset, job.dataset_id)
    assert lease is not None
    directory = tmp_path / "run"
    directory.mkdir()
    return RunContext(
        settings=settings,
        session_factory=session_factory,
        store=make_object_store(settings),
        lease=lease,
        writer=JobWriter(session_factory, lease),
        job=job,
        dataset=dataset,
        directory=directory,
        stop=threading.Event(),
    )


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.at_s = 1000.0

    def monotonic(self) -> float:
        return self.at_s


@pytest.mark.parametrize(("cost_s", "next_after_s"), [(0.5, INTERVAL_S), (3.0, 150.0), (90.0, 10 * INTERVAL_S)])
def test_a_checkpoint_that_takes_long_puts_off_the_next(
    context: RunContext, monkeypatch: pytest.MonkeyPatch, cost_s: float, next_after_s: float
) -> None:
    clock = Clock()
    monkeypatch.setattr("worker.checkpoints.time", clock)

    def save(directory: Path) -> None:
        (directory / "state").write_bytes(b"numbers")
        clock.at_s += cost_s

    keeper = CheckpointKeeper(context, save)
    steps = 0

    def run_for(seconds: float) -> None:
        nonlocal steps
        clock.at_s += seconds
        steps += 1
        keeper.save_if_due(steps)

    run_for(INTERVAL_S - 1)
    assert written(context) == []
    run_for(1)
    assert written(context) == [2]
    run_for(next_after_s - 1)
    assert written(context) == [2]
    run_for(1)
    assert written(context) == [2, 4]
    run_for(next_after_s - 1)
    assert (keeper.share_of_time <= context.settings.checkpoint_max_share) == (cost_s < 12.0)


def written(context: RunContext) -> list[int]:
    """Return the steps that the job's events name."""
    with context.session_factory() as session:
        events = session.scalars(select(JobEvent).where(JobEvent.type == EventType.CHECKPOINT_WRITTEN).order_by(JobEvent.seq))
        return [event.data["step"] for event in events]
