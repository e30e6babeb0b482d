"""``/v1/jobs/{id}/artifacts``: the published files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse

from app.byte_range import parse_range
from app.dependencies import AuthenticatedRoute, InServices, JobReader
from app.errors import ServiceError
from app.jobs import repository, service
from app.jobs.models import Artifact
from app.jobs.schemas import ArtifactOut
from app.pagination import make_page
from app.schemas import Page
from app.storage import ObjectStore

DRAWN_ARTIFACTS = frozenset({"sequences.jsonl", "sequences.parquet"})

router = APIRouter(prefix="/v1/jobs", tags=["Jobs"], route_class=AuthenticatedRoute)


@router.get("/{job_id}/artifacts")
def list_artifacts(job_id: str, caller: JobReader, services: InServices) -> Page[ArtifactOut]:
    """List the files of the result, all in one page; there are none before the job has succeeded."""
    with services.reading_sessions() as session:
        job = service.get_job(session, caller.tenant_id, job_id)
        rows = repository.list_artifacts(session, job.id)
    return make_page(rows, False, ArtifactOut.of, lambda row: row.name)


@router.get(
    "/{job_id}/artifacts/{name}",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}},
        206: {"description": "The part that the header Range asked for."},
        304: {"description": "The caller has the file: If-None-Match names its ETag."},
        307: {"description": "The file is at the URL in Location, which needs no key and works for an hour."},
    },
)
def download_artifact(  # noqa: PLR0917  FastAPI passes by name
    job_id: str,
    name: str,
    request: Request,
    caller: JobReader,
    services: InServices,
    draws: Annotated[
        int | None, Query(ge=1, le=1000, description="Hard sequences per latent sequence; left out: as the spec says.")
    ] = None,
) -> Response:
    """Download one file: its bytes, or a redirect to the object store. `ETag` is the file's SHA-256; ranges work."""
    with services.reading_sessions() as session:
        job = service.get_job(session, caller.tenant_id, job_id)
        artifact = repository.find_artifact(session, job.id, name)
    if artifact is None:
        raise ServiceError("artifact_not_found", f"The job, which is {job.status}, has no artifact {name[:200]!r}.")
    stored_draws = job.spec["evaluation"]["hard_draws"]
    if draws not in {None, stored_draws} and name in DRAWN_ARTIFACTS:
        raise ServiceError("not_implemented", f"Only {stored_draws} draws are stored; other numbers are not built yet.")
    url = services.store.presign_get(artifact.object_key, file_name=artifact.name, media_type=artifact.media_type)
    if url is not None:
        return RedirectResponse(url, 307, {"Cache-Control": "no-store"})
    return _stream(services.store, artifact, request)


def _stream(store: ObjectStore, artifact: Artifact, request: Request) -> Response:
    etag = f'"{artifact.sha256}"'
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Content-Disposition": f'attachment; filename="{artifact.name}"',
        "Cache-Control": "private, no-cache",
        "X-Content-Type-Options": "nosniff",
    }
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    asked = request.headers.get("range") if request.headers.get("if-range", etag) == etag else None
    part = parse_range(asked, artifact.size_bytes)
    start, end = part or (0, artifact.size_bytes)
    if part is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{artifact.size_bytes}"
    headers["Content-Length"] = str(end - start)
    content: Iterator[bytes] = iter(())
    if end > start:
        content = store.open_stream(artifact.object_key, start, end)
    return StreamingResponse(content, 200 if part is None else 206, headers, media_type=artifact.media_type)
