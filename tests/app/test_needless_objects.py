"""What processes that were killed at the wrong moment leave in the store goes away, and what a row needs stays."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session, sessionmaker

from app.clock import database_now
from app.datasets.models import Dataset, DatasetStatus
from app.datasets.service import delete_dataset, finish_deletions, make_content_key
from app.jobs.endings import release
from app.jobs.leases import lock_held
from app.jobs.models import Run
from app.jobs.publishing import publish, store_artifact
from app.needless_objects import remove_needless_objects
from app.storage import ObjectStore
from app.storage_directory import DirectoryStore
from tests.app.leftovers import begin, put
from tests.services.rows import add_dataset, add_job

pytestmark = pytest.mark.service
AT_ONCE = timedelta(seconds=-5)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ObjectStore]:
    store = DirectoryStore(tmp_path / "objects")
    yield store
    store.close()


def keys_of(store: ObjectStore) -> set[str]:
    return {item.key for prefix in ("datasets/", "jobs/") for item in store.list_objects(prefix)}


def test_only_objects_that_a_data_set_names_stay(
    session_factory: sessionmaker[Session], store: ObjectStore, tmp_path: Path
) -> None:
    kept: set[str] = set()
    needless: set[str] = set()
    with session_factory.begin() as session:
        for status in DatasetStatus:
            row = add_dataset(session, status=status)
            stray = {make_content_key(row.id, "of-a-killed-api"), f"datasets/{row.id}/3/canonical.parquet"}
            (kept if status is DatasetStatus.VALIDATING else needless).update(stray)
            if status is not DatasetStatus.AWAITING_UPLOAD:
                row.content_key, row.canonical_key = make_content_key(row.id, "x"), f"datasets/{row.id}/4/canonical.parquet"
                kept |= {row.content_key, row.canonical_key}
    kept.add("datasets/ds_of_another_database/content/x")
    for key in kept | needless:
        put(store, key, tmp_path)
    assert remove_needless_objects(session_factory, store) == 0, "they are young"
    assert remove_needless_objects(session_factory, store, young=AT_ONCE) == len(needless)
    assert keys_of(store) == kept


def test_what_a_frozen_run_writes_after_its_sweep_goes_and_results_stay(
    session_factory: sessionmaker[Session], store: ObjectStore, tmp_path: Path
) -> None:
    with session_factory.begin() as session:
        job_id = add_job(session).id
    frozen = begin(session_factory, job_id)
    with session_factory.begin() as session:
        release(session, lock_held(session, frozen), at=database_now(session))
    lease = begin(session_factory, job_id)
    path = tmp_path / "report.json"
    path.write_bytes(b"{}")
    artifact = store_artifact(store, lease, "report.json", path, "application/json")
    with session_factory.begin() as session:
        publish(session, lease, {}, [artifact])
    late = put(store, f"jobs/{job_id}/{frozen.token}/checkpoints/9/checkpoint.tar", tmp_path)
    unknown = put(store, f"jobs/{job_id}/7/artifacts/report.json", tmp_path)
    assert remove_needless_objects(session_factory, store, young=AT_ONCE) == 0, "their prefixes are swept first"
    with session_factory.begin() as session:
        session.execute(update(Run).values(swept_at=database_now(session)))
    assert remove_needless_objects(session_factory, store, young=AT_ONCE) == 1
    assert keys_of(store) == {artifact.object_key, unknown}, late


def test_a_deletion_that_got_no_further_than_the_rows_is_finished(
    session_factory: sessionmaker[Session], store: ObjectStore, tmp_path: Path
) -> None:
    with session_factory.begin() as session:
        row, other = add_dataset(session), add_dataset(session)
        for dataset in (row, other):
            dataset.content_key = make_content_key(dataset.id, "x")
    kept = put(store, make_content_key(other.id, "x"), tmp_path)
    put(store, make_content_key(row.id, "x"), tmp_path)
    elsewhere = DirectoryStore(tmp_path / "elsewhere")  # as if the store had not answered
    delete_dataset(session_factory, elsewhere, row.tenant_id, row.id)
    elsewhere.close()
    with session_factory.begin() as session:
        session.get_one(Dataset, row.id).content_key = make_content_key(row.id, "x")
    assert finish_deletions(session_factory, store) == 1
    assert keys_of(store) == {kept}
    assert finish_deletions(session_factory, store) == 0
