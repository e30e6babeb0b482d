"""What runs leave behind goes away, and what is needed stays."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.orm import Session, sessionmaker

from app.clock import database_now
from app.jobs.deletion import delete_job
from app.jobs.endings import fail, release
from app.jobs.leases import Lease, lock_held
from app.jobs.models import Job
from app.jobs.progress import JobWriter
from app.jobs.publishing import publish, store_artifact
from app.jobs.sweeping import forget_checkpoints, sweep_runs
from app.storage import ObjectMissingError, ObjectStore
from app.storage_directory import DirectoryStore
from tests.app.leftovers import begin, put
from tests.services.rows import add_job

NOW = timedelta(0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ObjectStore]:
    store = DirectoryStore(tmp_path / "objects")
    yield store
    store.close()


def checkpoint(session_factory: sessionmaker[Session], store: ObjectStore, lease: Lease, directory: Path, step: int) -> str:
    key = f"jobs/{lease.job_id}/{lease.token}/checkpoints/{step}/checkpoint.tar"
    put(store, key, directory)
    JobWriter(session_factory, lease).checkpoint(key, step)
    return key


def is_there(store: ObjectStore, key: str) -> bool:
    try:
        store.stat(key)
    except ObjectMissingError:
        return False
    return True


def let_go(session_factory: sessionmaker[Session], lease: Lease, *, failed: bool = False) -> None:
    with session_factory.begin() as session:
        job, now = lock_held(session, lease), database_now(session)
        if failed:
            fail(session, job, "internal", "no luck", retryable=True, at=now)
        else:
            release(session, job, at=now)


def test_a_checkpoint_that_may_be_resumed_stays(
    session_factory: sessionmaker[Session], store: ObjectStore, tmp_path: Path
) -> None:
    with session_factory.begin() as session:
        job_id = add_job(session).id
    first = begin(session_factory, job_id)
    oldest = checkpoint(session_factory, store, first, tmp_path, 1)
    let_go(session_factory, first)
    assert sweep_runs(session_factory, store, grace=NOW) == 0, "its checkpoint is the newest"
    second = begin(session_factory, job_id)
    previous = checkpoint(session_factory, store, second, tmp_path, 2)
    newest = checkpoint(session_factory, store, second, tmp_path, 3)
    assert sweep_runs(session_factory, store) == 0, "it ended just now"
    assert sweep_runs(session_factory, store, grace=NOW) == 1
    assert [is_there(store, key) for key in (oldest, previous, newest)] == [False, True, True]
    assert sweep_runs(session_factory, store, grace=NOW) == 0


def test_jobs_that_stay_failed_forget_their_checkpoints(
    session_factory: sessionmaker[Session], store: ObjectStore, tmp_path: Path
) -> None:
    with session_factory.begin() as session:
        job_id = add_job(session).id
    lease = begin(session_factory, job_id)
    key = checkpoint(session_factory, store, lease, tmp_path, 1)
    assert forget_checkpoints(session_factory, keep_days=0) == 0, "the job runs"
    let_go(session_factory, lease, failed=True)
    assert forget_checkpoints(session_factory, keep_days=1) == 0
    assert sweep_runs(session_factory, store, grace=NOW) == 0
    assert is_there(store, key)
    assert forget_checkpoints(session_factory, keep_days=0) == 1
    assert sweep_runs(session_factory, store, grace=NOW) == 1
    assert not is_there(store, key)
    with session_factory() as session:
        job = session.get_one(Job, job_id)
        assert (job.checkpoint_key, job.previous_checkpoint_key) == (None, None)


def test_only_the_published_run_keeps_its_artifacts(
    session_factory: sessionmaker[Session], store: ObjectStore, tmp_path: Path
) -> None:
    with session_factory.begin() as session:
        job_id = add_job(session).id
    lost = begin(session_factory, job_id)
    leftover = f"jobs/{job_id}/{lost.token}/artifacts/report.json"
    put(store, leftover, tmp_path)
    let_go(session_factory, lost)
    lease = begin(session_factory, job_id)
    forgotten = checkpoint(session_factory, store, lease, tmp_path, 1)
    path = tmp_path / "report.json"
    path.write_bytes(b"{}")
    artifact = store_artifact(store, lease, "report.json", path, "application/json")
    with session_factory.begin() as session:
        publish(session, lease, {}, [artifact])
    assert sweep_runs(session_factory, store, grace=NOW) == 2
    assert not is_there(store, leftover)
    assert not is_there(store, forgotten), "its run ended before it could remove it"
    assert is_there(store, artifact.object_key)


def test_what_a_deleted_job_left_in_the_store_is_removed(
    session_factory: sessionmaker[Session], store: ObjectStore, tmp_path: Path
) -> None:
    with session_factory.begin() as session:
        job = add_job(session)
        job_id, tenant_id = job.id, job.tenant_id
    lease = begin(session_factory, job_id)
    path = tmp_path / "report.json"
    path.write_bytes(b"{}")
    artifact = store_artifact(store, lease, "report.json", path, "application/json")
    with session_factory.begin() as session:
        publish(session, lease, {}, [artifact])
    assert sweep_runs(session_factory, store, grace=NOW) == 1
    elsewhere = DirectoryStore(tmp_path / "elsewhere")  # as if the store had not answered
    delete_job(session_factory, elsewhere, tenant_id, job_id)
    elsewhere.close()
    assert is_there(store, artifact.object_key)
    assert sweep_runs(session_factory, store, grace=NOW) == 1
    assert not is_there(store, artifact.object_key)
