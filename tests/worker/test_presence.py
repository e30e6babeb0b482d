"""A worker that is killed is known to be dead by its lock, and its job goes on though its lease has long to run."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from app.clock import database_now
from app.jobs import endings
from app.jobs.leases import claim, lock_held
from app.jobs.models import Job, Run
from app.jobs.reaper import reap_dead
from app.jobs.states import JobStatus, RunOutcome
from app.settings import Settings
from tests.services.rows import add_job
from worker import presence
from worker.presence import being_present, make_name
from worker.reaping import Reaper

pytestmark = pytest.mark.service
Sessions = sessionmaker[Session]
# A worker that claims the job and then only lives.
WORKER = """
import sys
from app.db import make_engine, make_session_factory
from app.jobs.leases import claim
from app.settings import load_settings
from worker.presence import being_present, make_name
settings, name = load_settings(), make_name("gpu")
with being_present(settings, name):
    with make_session_factory(make_engine(settings)).begin() as session:
        assert claim(session, sys.argv[1], name, lease_s=3600.0, max_runs=3)
    print(name, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(database_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only after the servers have started: their directories outlive the test's."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


@contextmanager
def running_worker(settings: Settings, job_id: str, temporary: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    environment = {
        "FARZI_DATABASE_URL": settings.resolved_database_url,
        "FARZI_DATA_DIR": str(settings.data_dir),
        "TMPDIR": str(temporary),
    }
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", WORKER, job_id], env=environment, text=True, **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def test_a_killed_worker_is_noticed_before_its_lease_runs_out(
    session_factory: Sessions, database_settings: Settings, tmp_path: Path
) -> None:
    with session_factory.begin() as session:
        job_id = add_job(session).id
    with being_present(database_settings, make_name("gpu")) as mine:
        reaper = Reaper(database_settings, session_factory, mine)
        with running_worker(database_settings, job_id, tmp_path) as (worker, name):
            assert mine.find_dead() == []
            reaper.reap()
            worker.kill()
            worker.wait()
            assert mine.find_dead() == [name]
        reaper.reap()
        reaper.reap()
    with session_factory() as session:
        assert session.get_one(Job, job_id).status == JobStatus.QUEUED
        assert session.scalars(select(Run.outcome).where(Run.job_id == job_id)).all() == [RunOutcome.LOST]


def test_a_worker_that_ends_in_good_order_leaves_nothing(
    session_factory: Sessions, database_settings: Settings, tmp_path: Path
) -> None:
    with session_factory.begin() as session:
        job_id = add_job(session).id
    with (
        being_present(database_settings) as mine,
        running_worker(database_settings, job_id, tmp_path) as (worker, name),
    ):
        assert [path.name for path in tmp_path.glob("farzi-workers-*/*")] == [name]
        worker.communicate("")
        assert mine.find_dead() == []
        assert not list(tmp_path.glob("farzi-workers-*"))
        mine.show("gpu@here:1-0")
        assert [path.name for path in tmp_path.glob("farzi-workers-*/*")] == ["gpu@here:1-0"]
    assert not list(tmp_path.glob("farzi-workers-*"))


def test_the_dead_are_forgotten_only_after_a_late_claim_could_have_arrived(
    database_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with being_present(database_settings) as mine:
        (directory,) = tmp_path.glob("farzi-workers-*")
        (directory / "gpu@gone:1-0").touch()
        assert mine.find_dead() == mine.find_dead() == ["gpu@gone:1-0"]
        monkeypatch.setattr(presence, "REMEMBERED_S", -1.0)
        assert mine.find_dead() == ["gpu@gone:1-0"]
        assert mine.find_dead() == []


def test_a_job_that_has_gone_on_elsewhere_is_not_taken_from_its_new_run(session_factory: Sessions) -> None:
    with session_factory.begin() as session:
        job_id = add_job(session).id
        lease = claim(session, job_id, "dead", lease_s=60.0, max_runs=3)
        assert lease is not None
        endings.release(session, lock_held(session, lease), at=database_now(session))
        assert claim(session, job_id, "alive", lease_s=60.0, max_runs=3) is not None
    with session_factory.begin() as session:
        assert reap_dead(session, ["dead"], max_runs=3) == []
        assert reap_dead(session, ["alive"], max_runs=3) == [job_id]


def test_a_directory_that_was_removed_keeps_no_reaper_from_its_work(
    session_factory: Sessions, database_settings: Settings, tmp_path: Path
) -> None:
    with being_present(database_settings, make_name("gpu")) as mine:
        (directory,) = tmp_path.glob("farzi-workers-*")
        shutil.rmtree(directory)
        assert mine.find_dead() == []
        Reaper(database_settings, session_factory, mine).reap()


def test_a_directory_of_somebody_else_is_not_used(database_settings: Settings, tmp_path: Path) -> None:
    with being_present(database_settings):
        (directory,) = tmp_path.glob("farzi-workers-*")
    directory.symlink_to(tmp_path)
    with being_present(database_settings, "gpu@here:1-0") as mine:
        (tmp_path / "gpu@gone:1-0").touch()
        assert mine.find_dead() == []
    assert not (tmp_path / "gpu@here:1-0").exists()
