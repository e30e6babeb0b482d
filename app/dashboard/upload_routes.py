"""What the upload form's script asks for: a file as one body, or in parts that go on where an earlier attempt ended.

Parts go through the service, never to the object store itself: pages talk to nobody else.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from app.dashboard.formatting import size
from app.dashboard.forms import Form, validate
from app.dashboard.page_route import InForm, PageRoute, begin_post
from app.dashboard.schema_form import read_number
from app.datasets import endpoints as dataset_endpoints
from app.dependencies import DatasetWriter, InServices
from app.pagination import MAX_LIMIT, PageQuery
from app.services import Services
from app.tenants.service import Caller
from app.uploads import endpoints
from app.uploads.models import UNDER_WAY, UploadStatus
from app.uploads.schemas import UploadCreate, UploadOut, UploadWithPartsOut

SHOWN_DIGITS = 12

router = APIRouter(prefix="/dashboard/datasets", route_class=PageRoute, include_in_schema=False)


def targets_of(dataset_id: str) -> dict[str, str]:
    """Return the paths that the script needs."""
    page = f"/dashboard/datasets/{dataset_id}"
    return {"page": page, "content": f"{page}/content", "uploads": f"{page}/uploads"}


def list_begun(dataset_id: str, caller: Caller, services: Services) -> list[UploadOut]:
    """Return the uploads that can be gone on with, newest first."""
    page = endpoints.list_uploads(dataset_id, PageQuery(limit=MAX_LIMIT), caller, services)
    return [upload for upload in page.data if upload.status in UNDER_WAY]


@router.put("/{dataset_id}/content")
async def upload_content(dataset_id: str, request: Request, caller: DatasetWriter, services: InServices) -> Response:
    """Take a file as one body."""
    stored = await dataset_endpoints.upload_content(dataset_id, request, caller, services)
    return JSONResponse({"id": stored.id, "status": stored.status}, 202)


@router.post("/{dataset_id}/uploads")
def begin_upload(dataset_id: str, request: Request, form: InForm, caller: DatasetWriter, services: InServices) -> Response:
    """Go on with the upload of this file, or begin one; the answer says which parts are missing.

    Where an upload of another file was begun, the answer says so, and only ``instead=yes`` gives that one up.
    """
    body = _read_file(form)
    begun = list_begun(dataset_id, caller, services)
    for upload in begun:
        if (upload.size_bytes, upload.sha256) == (body.size_bytes, body.sha256):
            return _answer(endpoints.get_upload(dataset_id, upload.id, caller, services))
    if begun and form.get("instead") != "yes":
        return JSONResponse({"other": _describe_other(begun[0])})
    made = endpoints.create_upload(dataset_id, body, begin_post(request, form), services)
    for upload in begun:
        if upload.status == UploadStatus.OPEN:
            endpoints.abort_upload(dataset_id, upload.id, caller, services)
    return _answer(UploadWithPartsOut.model_validate_json(bytes(made.body)))


@router.put("/{dataset_id}/uploads/{upload_id}/parts/{part_number}")
async def put_part(
    dataset_id: str, upload_id: str, part_number: int, *, request: Request, caller: DatasetWriter, services: InServices
) -> Response:
    """Take one part."""
    part = await endpoints.put_part(dataset_id, upload_id, part_number, request=request, caller=caller, services=services)
    return JSONResponse(part.model_dump())


@router.post("/{dataset_id}/uploads/{upload_id}/complete")
def complete_upload(
    dataset_id: str, upload_id: str, request: Request, form: InForm, _caller: DatasetWriter, services: InServices
) -> Response:
    """Put the parts together."""
    endpoints.complete_upload(dataset_id, upload_id, begin_post(request, form), services)
    return JSONResponse({"id": dataset_id}, 202)


def _answer(upload: UploadWithPartsOut) -> Response:
    path = f"{targets_of(upload.dataset_id)['uploads']}/{upload.id}"
    missing: list[dict[str, Any]] = [
        {"offset_bytes": part.offset_bytes, "size_bytes": part.size_bytes, "target": f"{path}/parts/{part.number}"}
        for part in upload.missing_parts
    ]
    return JSONResponse({"upload": {"id": upload.id, "missing": missing, "complete": f"{path}/complete"}})


def _describe_other(upload: UploadOut) -> str:
    return (
        f"This is another file than the one whose upload was begun ({upload.size_bytes:,} bytes, {size(upload.size_bytes)}, "
        f"SHA-256 {upload.sha256[:SHOWN_DIGITS]}…). Choose that file to go on with it, or send this one instead."
    )


def _read_file(form: Form) -> UploadCreate:
    given = {name: form.get(name) for name in ("size_bytes", "sha256", "part_size_bytes") if form.get(name)}
    return validate(UploadCreate, {name: text if name == "sha256" else read_number(text) for name, text in given.items()})
