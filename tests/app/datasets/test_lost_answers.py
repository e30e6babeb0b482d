"""An upload whose commit is under way when its answer is lost: its bytes stay until the database has decided."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from app.datasets.models import DatasetStatus
from app.datasets.service import StoredContent, attach_content, discard_unless_kept, make_content_key
from app.db import make_engine, make_session_factory
from app.settings import Settings
from app.storage import ObjectMissingError
from app.storage_directory import DirectoryStore
from tests.services.rows import add_dataset

pytestmark = pytest.mark.service


@pytest.fixture
def sessions(postgres_url: str) -> Iterator[sessionmaker[Session]]:
    engine = make_engine(Settings(database_url=postgres_url))
    yield make_session_factory(engine)
    engine.dispose()


@pytest.mark.parametrize("committed", [True, False])
def test_the_bytes_of_an_upload_stay_until_its_commit_is_decided(
    sessions: sessionmaker[Session], tmp_path: Path, *, committed: bool
) -> None:
    store, path = DirectoryStore(tmp_path / "objects"), tmp_path / "content"
    path.write_bytes(b"content")
    with sessions.begin() as session:
        dataset = add_dataset(session, status=DatasetStatus.AWAITING_UPLOAD)
    key = make_content_key(dataset.id, "upload")
    store.put_file(key, path)
    with ThreadPoolExecutor(1) as pool, sessions() as attaching:
        attach_content(attaching, dataset.tenant_id, dataset.id, StoredContent(key, 7, "0" * 64, None))
        attaching.flush()
        discarded = pool.submit(discard_unless_kept, sessions, store, dataset.id, key)
        give_up_at = time.monotonic() + 20
        while not (is_anyone_waiting(sessions) or discarded.done()):
            assert time.monotonic() < give_up_at
            time.sleep(0.01)
        store.stat(key)
        if committed:
            attaching.commit()
        else:
            attaching.rollback()
        discarded.result(20)
    if committed:
        store.stat(key)
    else:
        with pytest.raises(ObjectMissingError):
            store.stat(key)


def is_anyone_waiting(sessions: sessionmaker[Session]) -> bool:
    with sessions() as session:
        return bool(session.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar_one())
