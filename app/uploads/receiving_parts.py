"""A part that goes through the API: received, checked, stored, and remembered by its digest."""

from __future__ import annotations

from sqlalchemy.orm import Session, sessionmaker
from starlette.datastructures import Headers

from app.clock import database_now
from app.datasets.promises import BodyPromise
from app.datasets.service import ReceivedContent
from app.errors import ServiceError
from app.storage import ObjectMissingError, ObjectStore
from app.storage_parts import StoredPart
from app.uploads.models import Upload, UploadAddress, UploadPart
from app.uploads.schemas import PartOut
from app.uploads.service import get_open, require_number, unfinished_object


def promise_part(
    sessions: sessionmaker[Session], address: UploadAddress, number: int, headers: Headers
) -> tuple[Upload, BodyPromise]:
    """Return the upload and what the part has to be; refuse what need not be read at all."""
    with sessions() as session:
        upload = get_open(session, address)
    require_number(upload, number)
    size_bytes = upload.size_of(number)
    promise = BodyPromise(size_bytes, _wrong_size(number, size_bytes, "more")).with_headers(headers)
    if promise.encoding is not None:
        raise ServiceError(
            "unsupported_media_type", "A part has no Content-Encoding of its own; compress the whole file and send its parts."
        )
    if promise.size_bytes not in {None, size_bytes}:
        raise _wrong_size(number, size_bytes, str(promise.size_bytes))
    return upload, promise


def store_part(
    sessions: sessionmaker[Session], store: ObjectStore, upload: Upload, number: int, content: ReceivedContent
) -> PartOut:
    """Store a part that arrived."""
    if content.size_bytes != upload.size_of(number):
        raise _wrong_size(number, upload.size_of(number), str(content.size_bytes))
    declared = None if upload.part_sha256s is None else upload.part_sha256s[number - 1]
    if declared not in {None, content.sha256}:
        raise ServiceError(
            "content_digest_mismatch",
            f"Part {number} has SHA-256 {content.sha256}, {declared} was declared for it; nothing was kept, send it again.",
        )
    try:
        stored = store.parts.put(unfinished_object(upload), number, content.path, sha256=content.sha256)
    except ObjectMissingError:
        message = "The upload was completed or given up while the part was coming; look at it, and begin another one."
        raise ServiceError("upload_not_open", message) from None
    _record(sessions, upload, stored, content.sha256)
    return PartOut(number=number, size_bytes=stored.size_bytes, sha256=content.sha256)


def _record(sessions: sessionmaker[Session], upload: Upload, stored: StoredPart, sha256: str) -> None:
    with sessions.begin() as session:
        row = get_open(session, UploadAddress(upload.tenant_id, upload.dataset_id, upload.id), lock=True)
        session.merge(UploadPart(upload_id=row.id, number=stored.number, sha256=sha256, etag=stored.etag))
        row.updated_at = database_now(session)


def _wrong_size(number: int, size_bytes: int, given: str) -> ServiceError:
    message = f"Part {number} has to have {size_bytes} bytes, {given} were given."
    return ServiceError("part_size_mismatch", message, headers={"Connection": "close"})
