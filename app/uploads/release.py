"""Let the object store forget what uploads left in it: those that are over, and unfinished objects that no row knows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import structlog
from sqlalchemy.orm import Session, sessionmaker

from app.clock import database_now
from app.storage import ObjectStore
from app.storage_parts import UnfinishedObject
from app.uploads import repository
from app.uploads.models import UNDER_WAY, Upload, UploadStatus
from app.uploads.service import unfinished_object

BATCH = 100
# Of this service in a bucket: uploads, and the large files that the service itself stores in parts.
PREFIXES = ("datasets/", "jobs/")

logger = structlog.get_logger(__name__)


def expire_uploads(sessions: sessionmaker[Session]) -> int:
    """End the uploads whose time is over; several processes may do it at once."""
    with sessions.begin() as session:
        return repository.expire(session, database_now(session))


def release_ended(sessions: sessionmaker[Session], store: ObjectStore, *, dataset_id: str | None = None) -> int:
    """Free what the store holds of uploads that are over; return how many there were. Doing it twice does no harm."""
    with sessions() as session:
        uploads = repository.list_unreleased(session, BATCH, dataset_id)
    return _release(sessions, store, uploads)


def release_upload(sessions: sessionmaker[Session], store: ObjectStore, upload_id: str) -> None:
    """Free what the store holds of one upload, if it is over.

    One that was released before is looked at again: a completion may have put the object together only after that.
    """
    with sessions() as session:
        upload = session.get(Upload, upload_id)
    if upload is not None and upload.status not in UNDER_WAY:
        _release(sessions, store, [upload])


def sweep_unknown(sessions: sessionmaker[Session], store: ObjectStore, older_than_s: float) -> int:
    """Abort unfinished objects of this service that nobody can complete any more; return how many there were.

    A process that is killed at the wrong moment leaves them behind: between the store's beginning and the row, or in the middle
    of storing a large file of its own.
    """
    num_aborted = 0
    with sessions() as session:
        oldest = database_now(session) - timedelta(seconds=older_than_s)
    for item in store.parts.list_unfinished():
        if item.started_at > oldest or not item.key.startswith(PREFIXES):
            continue
        with sessions() as session:
            known = repository.is_under_way(session, item.key, item.store_id)
        if not known:
            store.parts.abort(UnfinishedObject(item.key, item.store_id))
            num_aborted += 1
    return num_aborted


def _release(sessions: sessionmaker[Session], store: ObjectStore, uploads: Sequence[Upload]) -> int:
    for upload in uploads:
        if upload.store_id is not None:
            store.parts.abort(unfinished_object(upload))
        if upload.status != UploadStatus.COMPLETED:
            store.delete(upload.content_key)  # put together, and then not to be used
        with sessions.begin() as session:
            repository.mark_released(session, upload.id)
    return len(uploads)
