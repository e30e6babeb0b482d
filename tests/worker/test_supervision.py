"""A supervisor in the test's own process, on a database behind a proxy: lost answers, and runs that end in odd ways."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, make_url, text
from sqlalchemy.orm import Session, sessionmaker

from app.db import make_engine, make_session_factory
from app.jobs.states import JobStatus, RunOutcome
from tests.chaos.proxy import FaultProxy
from tests.services.processes import is_running
from tests.services.rows import add_job
from tests.worker import leaving_slowly
from tests.worker.running_service import RunningService, find_run_process
from tests.worker.test_validation import COLUMNS, GOOD
from worker import supervision
from worker.supervision import Supervisor

pytestmark = pytest.mark.service


@pytest.fixture
def service(tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningService]:
    """A service whose runs, started from this process, find their settings."""
    service = RunningService(data_dir=tmp_path / "data", database_url=postgres_url)
    for name, value in service.settings.model_dump(exclude_unset=True).items():
        given = value.get_secret_value() if isinstance(value, SecretStr) else value
        monkeypatch.setenv(f"FARZI_{name.upper()}", str(given))
    yield service
    service.close()


@pytest.fixture
def proxy(postgres_url: str) -> Iterator[FaultProxy]:
    """The way to the database."""
    proxy = FaultProxy(f"{make_url(postgres_url).query['host']}/.s.PGSQL.5432")
    yield proxy
    proxy.close()


@pytest.fixture
def engine(service: RunningService, proxy: FaultProxy) -> Iterator[Engine]:
    """Connections that go through the proxy."""
    url = make_url(service.settings.resolved_database_url).set(host="127.0.0.1", port=proxy.port, query={})
    engine = make_engine(service.settings.model_copy(update={"database_url": url.render_as_string(hide_password=False)}))
    yield engine
    engine.dispose()


@pytest.fixture
def shutdown() -> threading.Event:
    return threading.Event()


def supervisor_of(
    service: RunningService, shutdown: threading.Event, sessions: sessionmaker[Session] | None = None
) -> Supervisor:
    return Supervisor(service.settings, sessions or service.session_factory, "cpu@tests:1", shutdown)


def wait_until(check: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
    give_up_at = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < give_up_at, f"not within {timeout_s} s: {what}"
        time.sleep(0.005)


def find_run(job_id: str) -> int | None:
    try:
        return find_run_process(job_id)
    except AssertionError:
        return None


def test_a_claim_whose_answer_was_lost_is_held_on_to(
    service: RunningService, engine: Engine, proxy: FaultProxy, shutdown: threading.Event, tmp_path: Path
) -> None:
    _, job_id = service.submit_validation(GOOD, tmp_path, columns=COLUMNS)
    supervisor = supervisor_of(service, shutdown, make_session_factory(engine))
    with engine.connect() as connection:  # what follows is sent over a connection that is set up already
        connection.execute(text("SELECT 1"))
    proxy.faults.cut_at, proxy.faults.cut_rate, proxy.faults.cut_after = b"COMMIT", 1.0, True
    with ThreadPoolExecutor(1) as pool:
        ran = pool.submit(supervisor.run_job, job_id)
        wait_until(lambda: proxy.counts["answers lost"] > 0 or ran.done(), "the answer to the claim is lost")
        proxy.faults.cut_rate = 0.0
        assert ran.result(60)
    assert service.job(job_id).status == JobStatus.SUCCEEDED
    assert service.runs(job_id) == [RunOutcome.SUCCEEDED]


def test_a_machine_that_can_start_no_run_gives_its_job_back(
    service: RunningService, shutdown: threading.Event, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, job_id = service.submit_validation(GOOD, tmp_path, columns=COLUMNS)
    supervisor = supervisor_of(service, shutdown)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "no such disk"))
    with ThreadPoolExecutor(1) as pool:
        ran = pool.submit(supervisor.run_job, job_id)
        wait_until(lambda: service.runs(job_id) == [RunOutcome.RELEASED] or ran.done(), "the job is given back")
        assert not ran.done(), "others are to have it first"
        shutdown.set()
        assert ran.result(60)
    job = service.job(job_id)
    assert (job.status, job.num_lost_runs) == (JobStatus.QUEUED, 0)
    assert service.event_types(job_id)[-1] == "run.released"


def test_a_run_that_a_service_manager_stops_before_its_worker_is_not_lost(
    service: RunningService, shutdown: threading.Event, tmp_path: Path
) -> None:
    _, job_id = service.submit_validation(GOOD, tmp_path, columns=COLUMNS)
    with ThreadPoolExecutor(1) as pool:
        ran = pool.submit(supervisor_of(service, shutdown).run_job, job_id)
        wait_until(lambda: find_run(job_id) is not None, "the run's process")
        pid = find_run_process(job_id)
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not is_running(pid), "the run is gone")
        shutdown.set()
        assert ran.result(60)
    job = service.job(job_id)
    assert service.runs(job_id) == [RunOutcome.RELEASED]
    assert (job.status, job.num_lost_runs) == (JobStatus.QUEUED, 0)


@pytest.mark.parametrize("lost", [False, True])
def test_a_run_that_reported_its_end_may_clean_up_and_one_that_was_lost_may_not(
    service: RunningService, shutdown: threading.Event, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, lost: bool
) -> None:
    with service.session_factory.begin() as session:
        job_id = add_job(session).id
    monkeypatch.setattr(supervision, "RUN_MODULE", leaving_slowly.__name__)
    monkeypatch.setattr(supervision, "LEAVE_S", 0.2)
    monkeypatch.setenv(leaving_slowly.LEFT_VARIABLE, str(tmp_path / "left"))
    if lost:
        monkeypatch.setenv(leaving_slowly.LOST_VARIABLE, "1")
    assert supervisor_of(service, shutdown).run_job(job_id)
    assert (tmp_path / "left").exists() != lost
    assert service.runs(job_id) == [RunOutcome.LOST if lost else RunOutcome.SUCCEEDED]
