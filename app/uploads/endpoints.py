"""``/v1/datasets/{id}/uploads``: files in parts."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.orm import Session

from app.clock import database_now
from app.datasets.receiving import RAW_BODY, Receiver
from app.datasets.schemas import DatasetOut
from app.datasets.service import get_awaiting, get_dataset, make_content_key
from app.db import new_id
from app.dependencies import AuthenticatedRoute, DatasetPost, DatasetReader, DatasetWriter, InServices, StreamedRoute
from app.errors import ServiceError
from app.idempotency import Answer
from app.pagination import PageQuery, make_page
from app.schemas import Page
from app.uploads import repository, service
from app.uploads.completion import Completion
from app.uploads.models import UploadAddress
from app.uploads.presenting import present, present_new, present_with_parts
from app.uploads.receiving_parts import promise_part, store_part
from app.uploads.release import release_upload
from app.uploads.schemas import PartOut, UploadCreate, UploadOut, UploadWithPartsOut

PREFIX = "/v1/datasets/{dataset_id}/uploads"
router = APIRouter(prefix=PREFIX, tags=["Uploads"], route_class=AuthenticatedRoute)
part_router = APIRouter(prefix=PREFIX, tags=["Uploads"], route_class=StreamedRoute)


@router.post("", status_code=201, response_model=UploadWithPartsOut)
def create_upload(dataset_id: str, body: UploadCreate, post: DatasetPost, services: InServices) -> Response:
    """Begin to upload a file in parts, which may come in any order, side by side, and again.

    Send each of `missing_parts` to its `url`, then complete the upload. With `part_sha256s` every part is checked on arrival.
    The answer that is given to a repeat with the same `Idempotency-Key` names paths of this API only.
    """
    earlier = post.replay()
    if earlier is not None:
        return earlier
    with services.reading_sessions() as session:
        get_awaiting(session, post.tenant_id, dataset_id)
    service.plan_parts(body, services.settings.max_upload_bytes)
    address = UploadAddress(post.tenant_id, dataset_id, new_id("upl"))
    key = make_content_key(dataset_id, address.upload_id)
    began = services.store.parts.start(key, sha256=body.sha256, part_sha256s=body.part_sha256s)
    recorded = False

    def create(session: Session) -> Answer:
        nonlocal recorded
        services.quotas.require_bytes(session, post.tenant_id, body.size_bytes)
        upload = service.add_upload(session, address, body, began, services.settings)
        location = {"Location": f"/v1/datasets/{dataset_id}/uploads/{address.upload_id}"}
        answer = Answer(
            201,
            present_new(upload, upload.created_at, services.store),
            location,
            stored=present_new(upload, upload.created_at, None),
        )
        recorded = True
        return answer

    try:
        return post.once(create)
    finally:
        if not recorded:
            services.store.parts.abort(began)


@router.get("")
def list_uploads(
    dataset_id: str, page: Annotated[PageQuery, Query()], caller: DatasetReader, services: InServices
) -> Page[UploadOut]:
    """List the uploads into a data set, newest first, without their parts."""
    with services.reading_sessions() as session:
        get_dataset(session, caller.tenant_id, dataset_id)
        rows, has_more = repository.list_uploads(session, caller.tenant_id, dataset_id, page)
        now = database_now(session)
    return make_page(rows, has_more, lambda row: present(row, now), lambda row: row.id)


@router.get("/{upload_id}")
def get_upload(dataset_id: str, upload_id: str, caller: DatasetReader, services: InServices) -> UploadWithPartsOut:
    """Return an upload: the parts that are there with their SHA-256, and fresh URLs for those that are not."""
    return present_with_parts(services.reading_sessions, services.store, UploadAddress(caller.tenant_id, dataset_id, upload_id))


@part_router.put("/{upload_id}/parts/{part_number}", openapi_extra=RAW_BODY)
async def put_part(
    dataset_id: str, upload_id: str, part_number: int, *, request: Request, caller: DatasetWriter, services: InServices
) -> PartOut:
    """Send one part through the API, as raw bytes; a part that is there is replaced.

    With `Content-Digest: sha-256=:BASE64:` the bytes are checked on arrival.
    """
    address = UploadAddress(caller.tenant_id, dataset_id, upload_id)
    upload, promise = await run_in_threadpool(promise_part, services.reading_sessions, address, part_number, request.headers)
    async with Receiver.of(services.settings).received(request, promise) as content:
        return await run_in_threadpool(store_part, services.sessions, services.store, upload, part_number, content)


@router.post("/{upload_id}/complete", status_code=202, response_model=DatasetOut)
def complete_upload(dataset_id: str, upload_id: str, post: DatasetPost, services: InServices) -> Response:
    """Put the parts together, compare the SHA-256 of the whole, and begin the validation; the answer is the data set.

    It may be repeated. While parts are missing it is refused with their numbers in `missing_parts`.
    """
    earlier = post.replay()
    if earlier is not None:
        return earlier
    completion = Completion(services.sessions, services.store, UploadAddress(post.tenant_id, dataset_id, upload_id))

    def finish(session: Session) -> Answer:
        return Answer(202, DatasetOut.of(completion.finish(session)), {"Location": f"/v1/datasets/{dataset_id}"})

    if not services.completion_slots.acquire(blocking=False):
        raise ServiceError("too_many_completions", "As many uploads are being completed as may be; repeat a little later.")
    try:
        with completion.prepared():
            return post.once(finish)
    finally:
        services.completion_slots.release()


@router.delete("/{upload_id}", status_code=204)
def abort_upload(dataset_id: str, upload_id: str, caller: DatasetWriter, services: InServices) -> None:
    """Give up an upload and delete its parts; the data set can still be uploaded."""
    with services.sessions.begin() as session:
        service.abort_upload(session, UploadAddress(caller.tenant_id, dataset_id, upload_id))
    release_upload(services.sessions, services.store, upload_id)
