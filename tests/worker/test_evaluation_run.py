"""An evaluation by a real worker: killed in the middle, it keeps its finished trainings; jobs teach the estimates."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from app.datasets.models import Dataset
from app.jobs.estimates import estimate, find_machine
from app.jobs.models import Artifact, CalibrationRow, EstimateOutcome, Job, Manifest
from app.jobs.states import JobKind, JobStatus, RunOutcome
from farzi_core.config import DistillationSpec
from farzi_core.evaluation_spec import resolve_evaluation
from tests.services.rows import add_job
from tests.worker.running_service import RunningService, find_run_process, kill, make_sequences

SUPERVISOR = "worker.supervisor"
FEW: dict[str, Any] = {"students": ["sasrec", "gru4rec"], "num_seeds": 3, "max_steps": 200, "num_validations": 2, "patience": 9}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[RunningService]:
    service = RunningService(data_dir=tmp_path / "data")
    yield service
    service.close()


def evaluate(service: RunningService, job_id: str, overrides: dict[str, Any]) -> str:
    with service.session_factory.begin() as session:
        source = session.get_one(Job, job_id)
        spec = resolve_evaluation("sequential_recommendation", DistillationSpec.model_validate(source.spec), overrides)
        dataset = session.get_one(Dataset, source.dataset_id)
        fields = {"spec": spec.model_dump(mode="json"), "source_job_id": job_id}
        return add_job(session, dataset, kind=JobKind.EVALUATION, **fields).id


def test_a_killed_evaluation_keeps_its_trainings_and_is_published(service: RunningService, tmp_path: Path) -> None:
    source = service.submit(service.add_ready_dataset(tmp_path))
    service.start(SUPERVISOR)
    service.wait_for_status(source, JobStatus.SUCCEEDED)
    job_id = evaluate(service, source, FEW)
    service.wait_until(lambda: service.job(job_id).progress_step > 0, "progress", job_id=job_id)
    service.wait_until(lambda: service.job(job_id).previous_checkpoint_key is not None, "two checkpoints", job_id=job_id)
    kill(find_run_process(job_id))
    service.wait_for_status(job_id, JobStatus.SUCCEEDED)
    assert service.runs(job_id) == [RunOutcome.LOST, RunOutcome.SUCCEEDED]
    phases = [event.data["phase"] for event in service.events(job_id) if event.type == "phase.started"]
    assert phases.count("teacher") == 1, "the second run did not begin at the beginning"
    assert {name for name, _ in service.metric_steps(job_id)} >= {"full_data_training_loss", "distilled_training_loss"}
    with service.session_factory() as session:
        manifest = session.get_one(Manifest, job_id).content
        artifacts = {row.name: row.object_key for row in session.scalars(select(Artifact).where(Artifact.job_id == job_id))}
        outcomes = {row.job_id: row for row in session.scalars(select(EstimateOutcome))}
    assert set(artifacts) == {"report.json", "report.html", "manifest.json"}
    assert manifest["source_job_id"] == source
    assert manifest["evaluation"]["students"] == ["sasrec", "gru4rec"]
    service.store.fetch_file(artifacts["report.json"], tmp_path / "report.json")
    assert list(json.loads((tmp_path / "report.json").read_text())["students"]) == ["sasrec", "gru4rec"]
    assert set(outcomes) == {source}, "of a job with two runs nobody knows what was done twice"
    assert outcomes[source].actual_seconds > 0
    assert outcomes[source].actual_memory_bytes > 2**26
    assert outcomes[source].actual_output_bytes > 1000


def test_an_evaluation_whose_result_is_gone_says_so(service: RunningService, tmp_path: Path) -> None:
    source = service.submit(service.add_ready_dataset(tmp_path))
    job_id = evaluate(service, source, FEW)
    with service.session_factory.begin() as session:
        job = session.get_one(Job, source)
        job.status, job.ended_at = JobStatus.SUCCEEDED, job.created_at
    service.start(SUPERVISOR)
    job = service.wait_for_end(job_id)
    assert (job.error_code, job.error_retryable) == ("artifact_invalid", False)
    assert source in (job.error_message or "")
    assert service.event_types(job_id)[-2:] == ["log.tail", "job.failed"]
    assert any(source in line for line in service.events(job_id)[-2].data["lines"])


def test_an_idle_worker_measures_its_machine_once(tmp_path: Path) -> None:
    service = RunningService(data_dir=tmp_path / "data", calibrate=True)
    try:
        first = service.start(SUPERVISOR)
        service.wait_until(lambda: num_calibrations(service) == 1, "a calibration")
        first.terminate()
        assert first.wait(30) == 0
        with service.session_factory() as session:
            machine = find_machine(session)
            spec = DistillationSpec()
            found = estimate(session, JobKind.DISTILLATION, spec, make_sequences().summary())
        assert machine.source == "measured"
        assert machine.calibration.startup_s > 0
        assert 0 < found.seconds.p50 < found.seconds.p90
        service.start(SUPERVISOR)
        job_id = service.submit(service.add_ready_dataset(tmp_path))
        service.wait_for_status(job_id, JobStatus.SUCCEEDED)
        service.wait_until(lambda: has_outcome(service, job_id), "what the job took, noted once it is over")
        with service.session_factory() as session:
            row = session.scalars(select(CalibrationRow)).one()
            outcome = session.get_one(EstimateOutcome, job_id)
        assert row.measured_at == machine.measured_at, "it was measured already"
        assert outcome.machine == row.machine
    finally:
        service.close()


def has_outcome(service: RunningService, job_id: str) -> bool:
    with service.session_factory() as session:
        return session.get(EstimateOutcome, job_id) is not None


def num_calibrations(service: RunningService) -> int:
    with service.session_factory() as session:
        return len(session.scalars(select(CalibrationRow)).all())
