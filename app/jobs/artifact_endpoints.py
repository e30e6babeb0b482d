"""``/v1/jobs/{id}/artifacts``: the published files."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse

from app.dependencies import AuthenticatedRoute, InServices, JobReader
from app.errors import ServiceError
from app.jobs import repository, service
from app.jobs.download import Download, send
from app.jobs.drawing import check_drawable, draw_sequences
from app.jobs.schemas import ArtifactOut
from app.pagination import make_page
from app.schemas import Page
from farzi_core.config import PUBLISHED_DRAWS

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
        int | None,
        Query(ge=1, le=100, description="Hard sequences per synthetic sequence, of `sequences.*` only; left out: 4."),
    ] = None,
) -> Response:
    """Download one file: its bytes, or a redirect to the object store.

    `ETag` is the file's SHA-256, also in `Repr-Digest`; ranges work. With `draws`, the hard sequences are drawn anew: the same
    number gives the same file, and a larger one begins with the sequences of a smaller one.
    """
    with services.reading_sessions() as session:
        job = service.get_job(session, caller.tenant_id, job_id)
        artifacts = {artifact.name: artifact for artifact in repository.list_artifacts(session, job.id)}
    artifact = artifacts.get(name)
    if artifact is None:
        raise ServiceError("artifact_not_found", f"The job, which is {job.status}, has no artifact {name[:200]!r}.")
    if draws is not None:
        check_drawable(name)
    if draws not in {None, PUBLISHED_DRAWS}:
        return send(draw_sequences(services, artifacts, name, draws), request)
    url = services.store.presign_get(artifact.object_key, file_name=artifact.name, media_type=artifact.media_type)
    if url is not None:
        return RedirectResponse(url, 307, {"Cache-Control": "no-store"})
    content = partial(services.store.open_stream, artifact.object_key)
    return send(Download(artifact.name, artifact.media_type, artifact.size_bytes, artifact.sha256, content), request)
