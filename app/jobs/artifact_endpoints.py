"""``/v1/jobs/{id}/artifacts``: the published files."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse

from app.dependencies import AuthenticatedRoute, InServices, JobReader
from app.errors import ServiceError
from app.head_requests import is_head
from app.jobs import repository, service
from app.jobs.download import Download, is_known, send
from app.jobs.drawing import Wish, draw_sequences
from app.jobs.models import Artifact
from app.jobs.schemas import ArtifactOut
from app.pagination import PageQuery, make_page, page_of
from app.schemas import Page
from farzi_core.data_options import SequenceFormat

router = APIRouter(prefix="/v1/jobs", tags=["Jobs"], route_class=AuthenticatedRoute)

WantedFormat = Annotated[
    SequenceFormat | None,
    Query(alias="format", description="Format of the hard sequences, of `sequences.*` only; left out: that of the name."),
]
WantedDraws = Annotated[
    int | None,
    Query(ge=1, le=100, description="Hard sequences per synthetic sequence, of `sequences.*` only; left out: 4."),
]
WantedSeed = Annotated[
    int | None,
    Query(ge=0, lt=2**64, description="Seed of the draws, of `sequences.*` only; left out: the one that was published with."),
]


@router.get("/{job_id}/artifacts")
def list_artifacts(
    job_id: str, page: Annotated[PageQuery, Query()], caller: JobReader, services: InServices
) -> Page[ArtifactOut]:
    """List the files of the result by name; there are none before the job has succeeded."""
    with services.reading_sessions() as session:
        job = service.get_job(session, caller.tenant_id, job_id)
        artifacts = repository.list_artifacts(session, job.id)
    rows, has_more = page_of(artifacts, _name_of, page)
    return make_page(rows, has_more, ArtifactOut.of, _name_of)


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
    format_: WantedFormat = None,
    draws: WantedDraws = None,
    seed: WantedSeed = None,
) -> Response:
    """Download one file: its bytes, or a redirect to the object store.

    `ETag` is the file's SHA-256, also in `Repr-Digest`; `If-None-Match` is answered with 304, a single `Range` (also with
    `If-Range`) with 206, several ranges with the whole file. `HEAD` is answered without a redirect.

    With `draws`, `seed` or `format` the hard sequences of `sequences.jsonl` or `sequences.parquet` are made for this download:
    the same parameters give the same bytes, and more draws begin with the sequences of fewer. `inter` is RecBole's atomic file
    (`user_id:token`, `item_id:token`, `timestamp:float`), `text` has a sequence on each line.
    """
    with services.reading_sessions() as session:
        job = service.get_job(session, caller.tenant_id, job_id)
        artifacts = {artifact.name: artifact for artifact in repository.list_artifacts(session, job.id)}
    if name not in artifacts:
        raise ServiceError("artifact_not_found", f"The job, which is {job.status}, has no artifact {name[:200]!r}.")
    wish = Wish(format_, draws, seed)
    wish.check(name)
    artifact = artifacts.get(wish.published_name(name) or "")
    if artifact is None:
        return send(draw_sequences(services, artifacts, name, wish), request)
    content = partial(services.store.open_stream, artifact.object_key)
    download = Download(artifact.name, artifact.media_type, artifact.size_bytes, artifact.sha256, content)
    if is_head(request.scope) or is_known(download, request):
        return send(download, request)
    url = services.store.presign_get(artifact.object_key, file_name=artifact.name, media_type=artifact.media_type)
    return send(download, request) if url is None else RedirectResponse(url, 307, {"Cache-Control": "no-store"})


def _name_of(artifact: Artifact) -> str:
    return artifact.name
