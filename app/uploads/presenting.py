"""What there is to say of an upload: its row, and of its parts what the object store knows."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session, sessionmaker

from app.clock import database_now
from app.storage import ObjectMissingError, ObjectStore
from app.storage_parts import PresignedPart
from app.uploads import repository
from app.uploads.models import Upload, UploadAddress, UploadPart, UploadStatus
from app.uploads.schemas import MissingPartOut, PartOut, UploadOut, UploadWithPartsOut
from app.uploads.service import choose_parts, get_upload, sha256_of, status_of, unfinished_object


def present(upload: Upload, at: datetime) -> UploadOut:
    return UploadOut.model_validate(_fields(upload, at))


def present_new(upload: Upload, at: datetime, store: ObjectStore | None) -> UploadWithPartsOut:
    """Present an upload of which nothing has arrived; without a store every part goes through the API."""
    return _with_parts(upload, at, [], _missing(upload, set(), store))


def present_with_parts(sessions: sessionmaker[Session], store: ObjectStore, address: UploadAddress) -> UploadWithPartsOut:
    """Look at an upload and ask the store for its parts."""
    with sessions() as session:
        upload = get_upload(session, address)
        recorded = repository.recorded_parts(session, upload.id)
        now = database_now(session)
    if status_of(upload, now) != UploadStatus.OPEN:
        return _with_parts(upload, now, [], [])
    received = _received(upload, store, recorded)
    return _with_parts(upload, now, received, _missing(upload, {part.number for part in received}, store))


def _received(upload: Upload, store: ObjectStore, recorded: dict[int, UploadPart]) -> list[PartOut]:
    try:
        listed = store.parts.list(unfinished_object(upload))
    except ObjectMissingError:
        return _of_whole(upload, store)
    chosen = choose_parts(upload, listed, recorded)
    return [
        PartOut(number=number, size_bytes=part.size_bytes, sha256=sha256_of(upload, part, recorded))
        for number, part in sorted(chosen.items())
    ]


def _of_whole(upload: Upload, store: ObjectStore) -> list[PartOut]:
    """Return every part where the object was put together by a request that did not live to say so."""
    try:
        store.stat(upload.content_key)
    except ObjectMissingError:
        return []
    declared: list[str | None] = [*upload.part_sha256s] if upload.part_sha256s else [None] * upload.num_parts
    return [
        PartOut(number=number, size_bytes=upload.size_of(number), sha256=sha256) for number, sha256 in enumerate(declared, 1)
    ]


def _missing(upload: Upload, received: set[int], store: ObjectStore | None) -> list[MissingPartOut]:
    return [_invite(upload, number, store) for number in range(1, upload.num_parts + 1) if number not in received]


def _invite(upload: Upload, number: int, store: ObjectStore | None) -> MissingPartOut:
    size_bytes = upload.size_of(number)
    presigned = None if store is None else store.parts.presign(unfinished_object(upload), number, size_bytes)
    target = presigned or PresignedPart(f"/v1/datasets/{upload.dataset_id}/uploads/{upload.id}/parts/{number}")
    return MissingPartOut(
        number=number,
        offset_bytes=upload.offset_of(number),
        size_bytes=size_bytes,
        url=target.url,
        headers=target.headers,
    )


def _with_parts(upload: Upload, at: datetime, received: list[PartOut], missing: list[MissingPartOut]) -> UploadWithPartsOut:
    return UploadWithPartsOut.model_validate(_fields(upload, at) | {"received_parts": received, "missing_parts": missing})


def _fields(upload: Upload, at: datetime) -> dict[str, object]:
    names = UploadOut.model_fields.keys() - {"object", "status"}
    return {name: getattr(upload, name) for name in names} | {"status": status_of(upload, at)}
