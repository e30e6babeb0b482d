"""``/v1/datasets``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.orm import Session

from app.datasets import repository, service
from app.datasets.models import Dataset
from app.datasets.promises import BodyPromise
from app.datasets.receiving import RAW_BODY, Receiver
from app.datasets.report_schemas import PreviewOut, ReportOut
from app.datasets.schemas import DatasetCreate, DatasetOut
from app.dependencies import AuthenticatedRoute, DatasetPost, DatasetReader, DatasetWriter, InServices, StreamedRoute
from app.idempotency import Answer
from app.pagination import PageQuery, make_page
from app.schemas import Page
from app.uploads.release import release_ended

router = APIRouter(prefix="/v1/datasets", tags=["Data sets"], route_class=AuthenticatedRoute)
content_router = APIRouter(prefix="/v1/datasets", tags=["Data sets"], route_class=StreamedRoute)


@router.post("", status_code=201, response_model=DatasetOut)
def create_dataset(body: DatasetCreate, post: DatasetPost, services: InServices) -> Response:
    """Declare a data set: what its file holds and how to read it. Then upload the file with `PUT .../content`."""

    def create(session: Session) -> Answer:
        services.quotas.require_dataset(session, post.tenant_id)
        dataset = service.create_dataset(session, post.tenant_id, body)
        return Answer(201, DatasetOut.of(dataset), {"Location": f"/v1/datasets/{dataset.id}"})

    return post.once(create)


@content_router.put("/{dataset_id}/content", status_code=202, openapi_extra=RAW_BODY)
async def upload_content(dataset_id: str, request: Request, caller: DatasetWriter, services: InServices) -> DatasetOut:
    """Upload the file as raw bytes, once; validation follows by itself.

    With `Content-Digest: sha-256=:BASE64:` the bytes are checked on arrival. A file that is compressed with gzip or zstd is
    kept as it is and recognised by its first bytes; `Content-Encoding` may say so. Large files go better in parts.
    """

    def check_awaiting() -> None:
        with services.reading_sessions() as session:
            service.get_awaiting(session, caller.tenant_id, dataset_id)

    def check_quota(size_bytes: int) -> None:
        """Refuse before it is received what is refused for certain when it has come."""
        with services.reading_sessions() as session:
            services.quotas.require_bytes(session, caller.tenant_id, size_bytes)

    def store(content: service.ReceivedContent) -> Dataset:
        return service.store_content(
            services.sessions, services.store, caller.tenant_id, dataset_id, content, quotas=services.quotas
        )

    await run_in_threadpool(check_awaiting)
    max_bytes = services.settings.max_upload_bytes
    promise = BodyPromise(max_bytes, service.too_large(max_bytes)).with_headers(request.headers)
    await run_in_threadpool(check_quota, promise.size_bytes or 0)
    async with Receiver.of(services.settings).received(request, promise) as content:
        return DatasetOut.of(await run_in_threadpool(store, content))


@router.get("")
def list_datasets(page: Annotated[PageQuery, Query()], caller: DatasetReader, services: InServices) -> Page[DatasetOut]:
    """List data sets, newest first."""
    with services.reading_sessions() as session:
        rows, has_more = repository.list_datasets(session, caller.tenant_id, page)
    return make_page(rows, has_more, DatasetOut.of, lambda row: row.id)


@router.get("/{dataset_id}")
def get_dataset(dataset_id: str, caller: DatasetReader, services: InServices) -> DatasetOut:
    """Return one data set; `status` goes from `awaiting_upload` over `validating` to `ready` or `invalid`."""
    with services.reading_sessions() as session:
        return DatasetOut.of(service.get_dataset(session, caller.tenant_id, dataset_id))


@router.get("/{dataset_id}/preview")
def get_preview(dataset_id: str, caller: DatasetReader, services: InServices) -> PreviewOut:
    """Return the first 20 sequences as they were understood; there are none of an invalid data set."""
    with services.reading_sessions() as session:
        dataset = service.get_validated(session, caller.tenant_id, dataset_id)
    return PreviewOut.model_validate({"data": dataset.preview or []})


@router.get("/{dataset_id}/report")
def get_report(dataset_id: str, caller: DatasetReader, services: InServices) -> ReportOut:
    """Return what validation found.

    The first 1,000 problems by line and column, their totals by code, what was dropped, figures of the data set, and histograms
    of sequence length, popularity and time.
    """
    with services.reading_sessions() as session:
        dataset = service.get_validated(session, caller.tenant_id, dataset_id)
    return ReportOut.of(dataset)


@router.delete("/{dataset_id}", status_code=204)
def delete_dataset(dataset_id: str, caller: DatasetWriter, services: InServices) -> None:
    """Delete a data set with its bytes; 409 while a job uses it. Results made from it stay."""
    service.delete_dataset(services.sessions, services.store, caller.tenant_id, dataset_id)
    release_ended(services.sessions, services.store, dataset_id=dataset_id)
