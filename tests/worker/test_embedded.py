"""The embedded worker on SQLite: a job is done, stopped, resumed and survives the loss of every process."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from app.jobs.models import Artifact, Manifest
from app.jobs.states import JobStatus, RunOutcome, StopRequest
from tests.services.processes import is_running
from tests.worker.running_service import LONG_OUTER_STEPS, RunningService, find_run_process, kill

SUPERVISOR = "worker.supervisor"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[RunningService]:
    service = RunningService(data_dir=tmp_path / "data")
    yield service
    service.close()


@pytest.fixture
def dataset_id(service: RunningService, tmp_path: Path) -> str:
    return service.add_ready_dataset(tmp_path)


def check_published(service: RunningService, job_id: str, directory: Path) -> None:
    with service.session_factory() as session:
        manifest = session.get_one(Manifest, job_id)
        artifacts = session.scalars(select(Artifact).where(Artifact.job_id == job_id)).all()
    assert {artifact.name for artifact in artifacts} == {*manifest.content["files"], "manifest.json"}
    for artifact in artifacts:
        service.store.fetch_file(artifact.object_key, directory / artifact.name)
        content = (directory / artifact.name).read_bytes()
        assert len(content) == artifact.size_bytes
        assert hashlib.sha256(content).hexdigest() == artifact.sha256
        assert f"/{manifest.lease_token}/artifacts/" in artifact.object_key
    assert json.loads((directory / "manifest.json").read_text()) == manifest.content


def test_a_job_is_told_as_it_goes_and_published_once(service: RunningService, dataset_id: str, tmp_path: Path) -> None:
    job_id = service.submit(dataset_id)
    supervisor = service.start(SUPERVISOR)
    job = service.wait_for_status(job_id, JobStatus.SUCCEEDED)
    types = service.event_types(job_id)
    assert types[:2] == ["job.queued", "job.started"]
    assert types[-1] == "job.succeeded"
    assert types.count("phase.started") >= 3
    (ended,) = (event.data for event in service.events(job_id) if event.type == "outer_loop.ended")
    assert (ended["steps"], ended["planned_steps"], ended["ended_by"]) == (6, 6, "all_steps")
    assert ended["message"].startswith("The outer loop took all of its 6 steps.")
    measured = [event.data["step"] for event in service.events(job_id) if event.type == "validation.measured"]
    assert measured[0] == 0, "the start is judged first"
    assert {("outer_loss", step) for step in range(1, 7)} <= service.metric_steps(job_id)
    assert job.progress_step == job.progress_total > 0
    assert service.runs(job_id) == [RunOutcome.SUCCEEDED]
    check_published(service, job_id, tmp_path)
    supervisor.terminate()
    assert supervisor.wait(10) == 0


def test_a_killed_run_goes_on_from_its_checkpoint(service: RunningService, dataset_id: str) -> None:
    job_id = service.submit(dataset_id, outer_steps=LONG_OUTER_STEPS)
    service.start(SUPERVISOR)
    service.wait_for_checkpoint(job_id)
    before = service.job(job_id).progress_step
    kill(find_run_process(job_id))
    service.wait_for_status(job_id, JobStatus.SUCCEEDED)
    assert before > 0
    assert service.runs(job_id) == [RunOutcome.LOST, RunOutcome.SUCCEEDED]
    lost = next(event for event in service.events(job_id) if event.type == "run.lost")
    assert "SIGKILL" in lost.data["reason"]
    phases = [event.data["phase"] for event in service.events(job_id) if event.type == "phase.started"]
    assert phases.count("teacher") == 1, "the second run did not begin at the beginning"


def test_a_killed_supervisor_takes_its_run_along_and_the_next_one_ends_the_job(
    service: RunningService, dataset_id: str
) -> None:
    job_id = service.submit(dataset_id, outer_steps=LONG_OUTER_STEPS)
    supervisor = service.start(SUPERVISOR)
    service.wait_for_checkpoint(job_id)
    run = find_run_process(job_id)
    supervisor.kill()
    supervisor.wait()
    service.wait_until(lambda: not is_running(run), "the run is gone")
    assert service.job(job_id).status == JobStatus.RUNNING, "nobody could say otherwise"
    service.start(SUPERVISOR)
    service.wait_for_status(job_id, JobStatus.SUCCEEDED)
    assert service.runs(job_id) == [RunOutcome.LOST, RunOutcome.SUCCEEDED]


def test_pause_keeps_the_work_resume_uses_it_and_cancel_ends_it(service: RunningService, dataset_id: str) -> None:
    job_id = service.submit(dataset_id, outer_steps=20 * LONG_OUTER_STEPS)
    service.start(SUPERVISOR)
    service.wait_for_checkpoint(job_id)
    service.ask(job_id, StopRequest.PAUSE)
    paused = service.wait_for_status(job_id, JobStatus.PAUSED)
    assert paused.stop_requested is None
    assert service.event_types(job_id)[-2:] == ["checkpoint.written", "job.paused"]
    service.resume(job_id)
    service.wait_for_status(job_id, JobStatus.RUNNING)
    service.wait_until(lambda: service.job(job_id).progress_step > paused.progress_step, "further progress", job_id=job_id)
    run = find_run_process(job_id)
    service.ask(job_id, StopRequest.CANCEL)
    service.wait_for_status(job_id, JobStatus.CANCELLED)
    assert not is_running(run)
    assert service.runs(job_id) == [RunOutcome.PAUSED, RunOutcome.CANCELLED]
    assert service.event_types(job_id)[-1] == "job.cancelled"


def test_a_deadline_ends_the_job_and_keeps_its_checkpoint(service: RunningService, dataset_id: str) -> None:
    job_id = service.submit(dataset_id, outer_steps=20 * LONG_OUTER_STEPS, deadline_s=8.0)
    service.start(SUPERVISOR)
    job = service.wait_for_status(job_id, JobStatus.FAILED)
    assert job.error_code == "deadline_exceeded"
    assert job.checkpoint_key is not None
    assert service.runs(job_id) == [RunOutcome.FAILED]
    assert service.event_types(job_id)[-2:] == ["log.tail", "job.failed"]


def test_a_shutdown_in_good_order_costs_no_run(service: RunningService, dataset_id: str) -> None:
    job_id = service.submit(dataset_id, outer_steps=LONG_OUTER_STEPS)
    first = service.start(SUPERVISOR)
    service.wait_for_checkpoint(job_id)
    second = service.start(SUPERVISOR)  # one per directory: it waits for the first to end
    first.send_signal(signal.SIGTERM)
    assert first.wait(30) == 0
    job = service.wait_for_status(job_id, JobStatus.SUCCEEDED)
    assert job.num_lost_runs == 0
    assert service.runs(job_id) == [RunOutcome.RELEASED, RunOutcome.SUCCEEDED]
    assert second.poll() is None


def test_a_damaged_checkpoint_is_passed_over(service: RunningService, dataset_id: str, tmp_path: Path) -> None:
    job_id = service.submit(dataset_id, outer_steps=LONG_OUTER_STEPS)
    supervisor = service.start(SUPERVISOR)
    service.wait_until(lambda: service.job(job_id).previous_checkpoint_key is not None, "two checkpoints", job_id=job_id)
    supervisor.kill()
    supervisor.wait()
    newest = service.job(job_id).checkpoint_key
    assert newest is not None
    damaged = tmp_path / "damaged"
    service.store.fetch_file(newest, damaged)
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 0xFF
    damaged.write_bytes(content)
    service.store.put_file(newest, damaged)
    service.start(SUPERVISOR)
    service.wait_for_status(job_id, JobStatus.SUCCEEDED)
    types = service.event_types(job_id)
    assert types.count("checkpoint.skipped") == 1
    assert [event.data["phase"] for event in service.events(job_id) if event.type == "phase.started"].count("teacher") == 1


def test_a_frozen_run_is_killed_and_the_next_goes_on(tmp_path: Path) -> None:
    service = RunningService(data_dir=tmp_path / "data", run_silence_s=6.0)
    try:
        job_id = service.submit(service.add_ready_dataset(tmp_path), outer_steps=LONG_OUTER_STEPS)
        service.start(SUPERVISOR)
        service.wait_for_checkpoint(job_id)
        os.kill(find_run_process(job_id), signal.SIGSTOP)
        service.wait_for_status(job_id, JobStatus.SUCCEEDED)
        assert service.runs(job_id) == [RunOutcome.LOST, RunOutcome.SUCCEEDED]
        lost = next(event for event in service.events(job_id) if event.type == "run.lost")
        assert "no sign of life" in lost.data["reason"]
    finally:
        service.close()
