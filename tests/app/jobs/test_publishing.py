"""A result is published once, by the run that holds the lease, and all of it at once."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from app.clock import database_now
from app.jobs.leases import Lease, LeaseLostError, claim
from app.jobs.models import Artifact, Job, JobEvent, Manifest, Run
from app.jobs.progress import JobWriter
from app.jobs.publishing import StoredArtifact, publish, store_artifact
from app.jobs.states import JobStatus, RunOutcome, StopRequest
from app.storage_directory import DirectoryStore
from tests.services.rows import add_job

pytestmark = pytest.mark.service
Sessions = sessionmaker[Session]


@pytest.fixture
def lease(session_factory: Sessions) -> Lease:
    with session_factory.begin() as session:
        job_id = add_job(session).id
    return take(session_factory, job_id)


@pytest.fixture
def artifacts(lease: Lease, tmp_path: Path) -> list[StoredArtifact]:
    path = tmp_path / "sequences.jsonl"
    path.write_text('{"events": []}\n')
    store = DirectoryStore(tmp_path / "objects")
    return [store_artifact(store, lease, path.name, path, "application/jsonl")]


def take(sessions: Sessions, job_id: str) -> Lease:
    with sessions.begin() as session:
        lease = claim(session, job_id, "test", lease_s=60, max_runs=3)
    assert lease is not None
    return lease


def num_rows(sessions: Sessions, table: type[Manifest | Artifact]) -> int:
    with sessions() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def test_everything_is_visible_at_once(session_factory: Sessions, lease: Lease, artifacts: list[StoredArtifact]) -> None:
    JobWriter(session_factory, lease).checkpoint("jobs/a/1/checkpoints/1/checkpoint.tar", 1)
    with session_factory.begin() as session:
        assert publish(session, lease, {"seed": 0}, artifacts) == ["jobs/a/1/checkpoints/1/checkpoint.tar"]
    with session_factory() as session:
        job = session.get_one(Job, lease.job_id)
        artifact = session.scalars(select(Artifact)).one()
        last = session.scalars(select(JobEvent).order_by(JobEvent.seq.desc())).first()
        assert session.get_one(Manifest, lease.job_id).content == {"seed": 0}
        assert session.scalars(select(Run.outcome)).one() == RunOutcome.SUCCEEDED
    assert (job.status, job.checkpoint_key, job.lease_expires_at) == (JobStatus.SUCCEEDED, None, None)
    assert job.ended_at is not None
    assert artifact.object_key == f"jobs/{lease.job_id}/1/artifacts/sequences.jsonl"
    assert (artifact.size_bytes, artifact.sha256) == (15, hashlib.sha256(b'{"events": []}\n').hexdigest())
    assert last is not None
    assert (last.type, last.data) == ("job.succeeded", {"artifacts": ["sequences.jsonl"]})


def test_a_second_time_is_refused(session_factory: Sessions, lease: Lease, artifacts: list[StoredArtifact]) -> None:
    with session_factory.begin() as session:
        publish(session, lease, {}, artifacts)
    with pytest.raises(LeaseLostError), session_factory.begin() as session:
        publish(session, lease, {}, artifacts)
    assert num_rows(session_factory, Manifest) == 1


def test_the_table_refuses_a_second_result_whatever_the_code_does(
    session_factory: Sessions, lease: Lease, artifacts: list[StoredArtifact]
) -> None:
    with session_factory.begin() as session:
        publish(session, lease, {}, artifacts)
        job = session.get_one(Job, lease.job_id)
        job.status, job.ended_at = JobStatus.QUEUED, None
    second = take(session_factory, lease.job_id)
    with pytest.raises(IntegrityError), session_factory.begin() as session:
        publish(session, second, {}, artifacts)


def test_a_stale_run_publishes_nothing(session_factory: Sessions, lease: Lease, artifacts: list[StoredArtifact]) -> None:
    with session_factory.begin() as session:
        job = session.get_one(Job, lease.job_id)
        job.lease_expires_at = database_now(session) - timedelta(seconds=1)
    second = take(session_factory, lease.job_id)
    with pytest.raises(LeaseLostError), session_factory.begin() as session:
        publish(session, lease, {}, artifacts)
    assert (num_rows(session_factory, Manifest), num_rows(session_factory, Artifact)) == (0, 0)
    with session_factory.begin() as session:
        publish(session, second, {}, artifacts)


def test_a_result_that_is_ready_before_the_cancellation_counts(
    session_factory: Sessions, lease: Lease, artifacts: list[StoredArtifact]
) -> None:
    with session_factory.begin() as session:
        job = session.get_one(Job, lease.job_id)
        job.status, job.stop_requested = JobStatus.CANCELLING, StopRequest.CANCEL
    with session_factory.begin() as session:
        publish(session, lease, {}, artifacts)
    with session_factory() as session:
        job = session.get_one(Job, lease.job_id)
    assert (job.status, job.stop_requested) == (JobStatus.SUCCEEDED, None)
