"""The life of an upload in parts: begun, looked at, aborted. Completing it has a module of its own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from app.clock import database_now
from app.datasets.service import get_awaiting, too_large
from app.errors import FieldProblem, ServiceError
from app.settings import Settings
from app.storage_parts import StoredPart, UnfinishedObject
from app.uploads import repository
from app.uploads.models import UNDER_WAY, Upload, UploadAddress, UploadPart, UploadStatus
from app.uploads.schemas import MAX_PARTS, UploadCreate

DEFAULT_PART_BYTES = 16 << 20
MAX_UNDER_WAY = 10


def plan_parts(body: UploadCreate, max_bytes: int) -> int:
    """Return the size of the parts.

    Raises:
        ServiceError: the file is too large, or the parts do not fit it.
    """
    if body.size_bytes > max_bytes:
        raise too_large(max_bytes)
    part_bytes = body.part_size_bytes or DEFAULT_PART_BYTES
    while body.part_size_bytes is None and part_bytes * MAX_PARTS < body.size_bytes:
        part_bytes *= 2
    num_parts = -(-body.size_bytes // part_bytes)
    if num_parts > MAX_PARTS:
        raise _bad_field("/part_size_bytes", f"gives {num_parts} parts and {MAX_PARTS} are allowed; make the parts larger")
    if body.part_sha256s is not None and len(body.part_sha256s) != num_parts:
        raise _bad_field(
            "/part_sha256s",
            f"has {len(body.part_sha256s)} digests for the {num_parts} parts of {part_bytes} bytes; give one for each part",
        )
    return part_bytes


def add_upload(
    session: Session, address: UploadAddress, body: UploadCreate, began: UnfinishedObject, settings: Settings
) -> Upload:
    """Record an upload that the store has begun; whoever calls has looked at the quota."""
    get_awaiting(session, address.tenant_id, address.dataset_id, lock=True)
    now = database_now(session)
    if repository.count_under_way(session, address.dataset_id, now) >= MAX_UNDER_WAY:
        raise ServiceError(
            "too_many_uploads", f"{MAX_UNDER_WAY} uploads into this data set are open, the most there may be; go on with one."
        )
    upload = Upload(
        id=address.upload_id,
        tenant_id=address.tenant_id,
        dataset_id=address.dataset_id,
        status=UploadStatus.OPEN,
        size_bytes=body.size_bytes,
        sha256=body.sha256,
        part_size_bytes=plan_parts(body, settings.max_upload_bytes),
        part_sha256s=body.part_sha256s,
        content_key=began.key,
        store_id=began.store_id,
        expires_at=now + timedelta(seconds=settings.upload_expires_s),
        created_at=now,
        updated_at=now,
    )
    session.add(upload)
    session.flush()
    return upload


def get_upload(session: Session, address: UploadAddress, *, lock: bool = False) -> Upload:
    upload = repository.find_upload(session, address, lock=lock)
    if upload is None:
        raise ServiceError("upload_not_found", "There is no upload of this id in a data set of this id.")
    return upload


def get_open(session: Session, address: UploadAddress, *, lock: bool = False) -> Upload:
    """Return an upload that takes parts, into a data set that still waits for them."""
    upload = get_upload(session, address, lock=lock)
    require_open(upload, database_now(session))
    get_awaiting(session, address.tenant_id, address.dataset_id)
    return upload


def require_open(upload: Upload, at: datetime) -> None:
    status = status_of(upload, at)
    if status == UploadStatus.COMPLETING:
        raise being_completed()
    if status != UploadStatus.OPEN:
        raise ServiceError("upload_not_open", f"The upload has status {status} and takes no more parts; begin another one.")


def being_completed() -> ServiceError:
    message = "The upload is being completed by another request; look at it, or repeat this a little later."
    return ServiceError("upload_completing", message, headers={"Retry-After": "2"})


def status_of(upload: Upload, at: datetime) -> UploadStatus:
    """Return the status as it is at this moment: time may have run out before anybody wrote it down."""
    status = UploadStatus(upload.status)
    if status == UploadStatus.COMPLETING and (upload.claimed_until is None or upload.claimed_until <= at):
        status = UploadStatus.OPEN  # whoever completed it is gone
    return UploadStatus.EXPIRED if status == UploadStatus.OPEN and upload.expires_at <= at else status


def abort_upload(session: Session, address: UploadAddress) -> None:
    """End an upload; one that ended without a result stays as it is."""
    upload = get_upload(session, address, lock=True)
    now = database_now(session)
    status = status_of(upload, now)
    if status == UploadStatus.COMPLETING:
        raise being_completed()
    if status == UploadStatus.COMPLETED:
        raise ServiceError("upload_not_open", "The upload is completed; delete the data set if its content is not wanted.")
    if upload.status in UNDER_WAY:
        upload.status, upload.claim, upload.updated_at = UploadStatus.ABORTED, None, now


def require_number(upload: Upload, number: int) -> None:
    if not 1 <= number <= upload.num_parts:
        raise _bad_field("/path/part_number", f"is {number}; the upload has {upload.num_parts} parts, numbered from 1")


def unfinished_object(upload: Upload) -> UnfinishedObject:
    """Return what the store knows an upload by, one that is under way or whose parts were not let go of yet."""
    assert upload.store_id is not None, f"{upload.id} holds nothing in the store"
    declared = None if upload.part_sha256s is None else tuple(upload.part_sha256s)
    return UnfinishedObject(upload.content_key, upload.store_id, declared)


def choose_parts(upload: Upload, listed: Sequence[StoredPart], recorded: dict[int, UploadPart]) -> dict[int, StoredPart]:
    """Return the part that counts for each number that is there.

    Some servers go on listing parts that were replaced. The one that the API saw last counts; else the latest.
    """
    chosen: dict[int, StoredPart] = {}
    for part in listed:
        rival = chosen.get(part.number)
        if rival is None or _rank(part, recorded) > _rank(rival, recorded):
            chosen[part.number] = part
    return {number: part for number, part in chosen.items() if part.size_bytes == upload.size_of(number)}


def sha256_of(upload: Upload, part: StoredPart, recorded: dict[int, UploadPart]) -> str | None:
    """Return the SHA-256 of a part that is there, where it is known: declared and so checked, or seen by the API."""
    if upload.part_sha256s is not None:
        return upload.part_sha256s[part.number - 1]
    seen = recorded.get(part.number)
    return seen.sha256 if seen is not None and seen.etag == part.etag else None


def _rank(part: StoredPart, recorded: dict[int, UploadPart]) -> tuple[bool, float]:
    seen = recorded.get(part.number)
    stored_at = part.stored_at.timestamp() if part.stored_at is not None else 0.0
    return seen is not None and seen.etag == part.etag, stored_at


def _bad_field(pointer: str, detail: str) -> ServiceError:
    return ServiceError("invalid_request", f"{pointer}: {detail}", problems=(FieldProblem(pointer, detail),))
