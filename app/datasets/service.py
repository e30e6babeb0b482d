"""The life of a data set up to its validation, and its end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from sqlalchemy.orm import Session, sessionmaker

from app.clock import database_now
from app.datasets import repository
from app.datasets.models import Dataset, DatasetStatus
from app.datasets.schemas import DatasetCreate
from app.db import new_id
from app.errors import ServiceError
from app.jobs.creation import add_job
from app.jobs.states import JobKind
from app.storage import ObjectStore
from app.tenants.quotas import QuotaGuard
from app.uploads.repository import abandon as abandon_uploads
from farzi_core.content_encoding import ContentEncoding

DELETION_BATCH = 50


@dataclass(frozen=True)
class ReceivedContent:
    """A body that arrived whole.

    Attributes:
        path: a file of this machine.
        size_bytes: its length.
        sha256: of the bytes as they came, in hex.
        encoding: how they are compressed, by their first bytes.
    """

    path: Path
    size_bytes: int
    sha256: str
    encoding: ContentEncoding | None


@dataclass(frozen=True)
class StoredContent:
    """The content of a data set in the object store: key, length in bytes, SHA-256 in hex, and how it is compressed."""

    key: str
    size_bytes: int
    sha256: str
    encoding: ContentEncoding | None


def create_dataset(session: Session, tenant_id: str, body: DatasetCreate) -> Dataset:
    now = database_now(session)
    dataset = Dataset(
        id=new_id("ds"),
        tenant_id=tenant_id,
        name=body.name,
        task=body.task,
        format=body.format,
        columns=None if body.columns is None else body.columns.model_dump(mode="json"),
        options=body.options.model_dump(mode="json"),
        user_metadata=body.metadata,
        status=DatasetStatus.AWAITING_UPLOAD,
        created_at=now,
        updated_at=now,
    )
    session.add(dataset)
    session.flush()
    return dataset


def get_dataset(session: Session, tenant_id: str, dataset_id: str, *, lock: bool = False) -> Dataset:
    dataset = repository.find_dataset(session, tenant_id, dataset_id, lock=lock)
    if dataset is None:
        raise ServiceError("dataset_not_found", "There is no data set of this id.")
    return dataset


def get_awaiting(session: Session, tenant_id: str, dataset_id: str, *, lock: bool = False) -> Dataset:
    """Return a data set that can take content."""
    dataset = get_dataset(session, tenant_id, dataset_id, lock=lock)
    if dataset.status != DatasetStatus.AWAITING_UPLOAD:
        raise ServiceError(
            "dataset_already_uploaded",
            f"The data set has status {dataset.status} and keeps the content it has; create another one for other content.",
        )
    return dataset


def too_large(max_bytes: int) -> ServiceError:
    message = f"The upload has more than {max_bytes} bytes, the most that is taken."
    return ServiceError("upload_too_large", message, headers={"Connection": "close"})


def get_validated(session: Session, tenant_id: str, dataset_id: str) -> Dataset:
    """Return a data set whose report is there."""
    dataset = get_dataset(session, tenant_id, dataset_id)
    if dataset.status not in {DatasetStatus.READY, DatasetStatus.INVALID}:
        raise ServiceError(
            "dataset_not_ready", f"The data set has status {dataset.status}; its content has to be uploaded and validated."
        )
    return dataset


def store_content(
    sessions: sessionmaker[Session],
    store: ObjectStore,
    tenant_id: str,
    dataset_id: str,
    content: ReceivedContent,
    *,
    quotas: QuotaGuard,
) -> Dataset:
    """Keep an upload and queue its validation. If anything fails, the object is deleted and no row has changed."""
    key = make_content_key(dataset_id, uuid4().hex)
    try:
        store.put_file(key, content.path, sha256=content.sha256, may_move=True)
        with sessions.begin() as session:
            quotas.require_bytes(session, tenant_id, content.size_bytes)
            stored = StoredContent(key, content.size_bytes, content.sha256, content.encoding)
            return attach_content(session, tenant_id, dataset_id, stored)
    except BaseException:
        discard_unless_kept(sessions, store, dataset_id, key)
        raise


def make_content_key(dataset_id: str, name: str) -> str:
    """Return the object key of bytes as uploaded."""
    return f"datasets/{dataset_id}/content/{name}"


def attach_content(session: Session, tenant_id: str, dataset_id: str, content: StoredContent) -> Dataset:
    """Give a data set its content and queue the validation."""
    dataset = get_awaiting(session, tenant_id, dataset_id, lock=True)
    dataset.status = DatasetStatus.VALIDATING
    dataset.content_key, dataset.size_bytes, dataset.sha256 = content.key, content.size_bytes, content.sha256
    dataset.content_encoding = content.encoding
    dataset.updated_at = database_now(session)
    add_job(session, tenant_id, JobKind.VALIDATION, dataset_id)
    return dataset


def delete_dataset(sessions: sessionmaker[Session], store: ObjectStore, tenant_id: str, dataset_id: str) -> None:
    """Delete a data set: first what the database says of it, then its objects, which maintenance does if it fails."""
    with sessions.begin() as session:
        dataset = repository.find_deletable(session, tenant_id, dataset_id)
        if dataset is None:
            raise ServiceError("dataset_not_found", "There is no data set of this id.")
        if repository.is_in_use(session, dataset_id):
            raise ServiceError("dataset_in_use", "A job that is not over uses the data set; wait for it, or cancel it.")
        abandon_uploads(session, dataset_id, database_now(session))
        dataset.deleted_at = dataset.deleted_at or database_now(session)
        dataset.name, dataset.columns, dataset.user_metadata = "", None, {}
        dataset.report = dataset.preview = None
    _remove_objects(sessions, store, dataset_id)


def finish_deletions(sessions: sessionmaker[Session], store: ObjectStore) -> int:
    """Remove the objects of deleted data sets whose deletion got no further; return how many there were."""
    with sessions() as session:
        dataset_ids = repository.list_half_deleted(session, DELETION_BATCH)
    for dataset_id in dataset_ids:
        _remove_objects(sessions, store, dataset_id)
    return len(dataset_ids)


def _remove_objects(sessions: sessionmaker[Session], store: ObjectStore, dataset_id: str) -> None:
    store.delete_prefix(f"datasets/{dataset_id}/")
    with sessions.begin() as session:
        row = session.get_one(Dataset, dataset_id)
        row.content_key = row.canonical_key = None


def discard_unless_kept(sessions: sessionmaker[Session], store: ObjectStore, dataset_id: str, key: str) -> None:
    """Delete an object that no row names. A commit whose answer was lost may have succeeded, or may be about to.

    Whoever attaches the object holds the row's lock until his commit is decided, so the lock is waited for; without an answer
    the object stays, and maintenance looks at it a day later.
    """
    with sessions() as session:
        dataset = session.get(Dataset, dataset_id, with_for_update=True)
    if dataset is None or dataset.content_key != key:
        store.delete(key)
