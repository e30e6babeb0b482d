"""A supervisor in the test's own process, on a database behind a proxy: lost answers, and runs that end in odd ways."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, make_url, text
from sqlalchemy.orm import Session, sessionmaker

from app.clock import database_now
from app.datasets.models import DatasetStatus
from app.db import OUTAGE_PATIENCE_S, make_engine, make_session_factory
from app.jobs.endings import lose
from app.jobs.leases import Lease, claim, lock_held
from app.jobs.progress import JobWriter
from app.jobs.states import JobKind, JobStatus, RunOutcome, StopRequest
from app.settings import Settings
from tests.chaos.proxy import FaultProxy
from tests.services.processes import is_running
from tests.services.rows import add_job
from tests.worker import computing_for_ever, leaving_slowly
from tests.worker.running_service import RunningService, find_run_process
from tests.worker.test_validation import COLUMNS, GOOD
from worker import supervision
from worker.process import ExitCode, RunProcess
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


@pytest.fixture
def runs_behind_proxy(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets runs reach the database through the proxy; supervisors of the test go past it."""
    monkeypatch.setenv("FARZI_DATABASE_URL", engine.url.render_as_string(hide_password=False))


def run_while_cutting(supervisor: Supervisor, job_id: str, proxy: FaultProxy, at: bytes, times: int) -> None:
    proxy.faults.cut_at, proxy.faults.cut_rate = at, 1.0
    with ThreadPoolExecutor(1) as pool:
        ran = pool.submit(supervisor.run_job, job_id)
        wait_until(lambda: proxy.counts["cut before"] >= times or ran.done(), f"cut at {at!r}")
        proxy.faults.cut_rate = 0.0
        assert ran.result(120)
    assert proxy.counts["cut before"] >= times


@pytest.mark.usefixtures("runs_behind_proxy")
@pytest.mark.parametrize(("at", "times"), [(b"SET idle", 3), (b"verdict", 1)])
def test_a_validation_waits_for_a_database_that_is_away_as_it_begins_and_as_it_ends(
    service: RunningService, shutdown: threading.Event, proxy: FaultProxy, tmp_path: Path, at: bytes, times: int
) -> None:
    dataset_id, job_id = service.submit_validation(GOOD, tmp_path, columns=COLUMNS)
    run_while_cutting(supervisor_of(service, shutdown), job_id, proxy, at, times)
    assert service.runs(job_id) == [RunOutcome.SUCCEEDED]
    assert service.dataset(dataset_id).status == DatasetStatus.READY


@pytest.mark.usefixtures("runs_behind_proxy")
def test_an_evaluation_waits_for_the_database_to_find_what_it_judges(
    service: RunningService, shutdown: threading.Event, proxy: FaultProxy
) -> None:
    with service.session_factory.begin() as session:
        job_id = add_job(session, kind=JobKind.EVALUATION, source_job_id="job_without_result").id
    run_while_cutting(supervisor_of(service, shutdown), job_id, proxy, b"FROM artifacts", 1)
    assert service.runs(job_id) == [RunOutcome.FAILED]
    assert service.job(job_id).error_code == "artifact_invalid", "it went on, and found that there is nothing to judge"


def claimed(service: RunningService) -> Lease:
    with service.session_factory.begin() as session:
        job_id = add_job(session).id
    with service.session_factory.begin() as session:
        lease = claim(session, job_id, "tests", lease_s=60, max_runs=3)
    assert lease is not None
    return lease


def test_a_write_waits_for_the_database_and_is_not_taken_for_a_stall(
    service: RunningService, engine: Engine, proxy: FaultProxy
) -> None:
    lease = claimed(service)
    proxy.go_away()
    writer = JobWriter(make_session_factory(engine), lease)
    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(writer.phase, "teacher")
        try:
            for _ in range(4):
                wait_until(partial(has_begun_after, writer, begun_at(writer)), "another attempt")
        finally:
            proxy.come_back()  # the writer would wait for an hour, and the pool for the writer
        written.result(60)
    assert service.job(lease.job_id).phase == "teacher"
    assert Settings().lease_s * 10 < OUTAGE_PATIENCE_S, "leases run out meanwhile"


def begun_at(writer: JobWriter) -> float:
    """Return when the writer's newest attempt began."""
    return time.monotonic() - writer.idle_s


def has_begun_after(writer: JobWriter, before: float) -> bool:
    return begun_at(writer) > before + 0.05  # attempts are a tenth of a second apart, at least


def test_a_run_that_wakes_up_without_its_lease_leaves_at_once(service: RunningService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARZI_LEASE_S", "1")
    monkeypatch.setenv("FARZI_HEARTBEAT_S", "0.5")
    lease = claimed(service)
    process = RunProcess(["-m", computing_for_ever.__name__, lease.job_id, str(lease.token)], {})
    try:
        wait_until(lambda: bool(process.tail), "it computes")
        for lost in (False, True):
            process.signal_group(signal.SIGSTOP)
            if lost:
                with service.session_factory.begin() as session:
                    lose(session, lock_held(session, lease), "it slept", max_runs=3, at=database_now(session))
            assert process.wait(2.5) is None, "it sleeps for longer than its lease"
            process.signal_group(signal.SIGCONT)
            assert process.wait(30 if lost else 2) == (ExitCode.LEASE_LOST if lost else None)
    finally:
        process.close()


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


@pytest.mark.parametrize(
    ("request_", "status"), [(StopRequest.CANCEL, JobStatus.CANCELLED), (StopRequest.PAUSE, JobStatus.PAUSED)]
)
def test_a_run_that_heeds_no_request_is_ended_when_its_grace_is_over(
    service: RunningService,
    shutdown: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
    request_: StopRequest,
    status: JobStatus,
) -> None:
    shipped = Settings()
    assert shipped.control_poll_s <= 5.0
    assert shipped.stop_grace_s <= 30.0
    monkeypatch.setattr(supervision, "RUN_MODULE", computing_for_ever.__name__)
    impatient = service.settings.model_copy(update={"stop_grace_s": 1.0})
    with service.session_factory.begin() as session:
        job_id = add_job(session).id
    with ThreadPoolExecutor(1) as pool:
        ran = pool.submit(Supervisor(impatient, service.session_factory, "gpu@tests:1", shutdown).run_job, job_id)
        wait_until(lambda: find_run(job_id) is not None, "the run's process")
        pid = find_run_process(job_id)
        assert service.ask(job_id, request_)
        assert ran.result(60)
    assert not is_running(pid)
    assert service.job(job_id).status == status
