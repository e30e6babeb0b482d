"""Style sheet and scripts of the pages, under a name that changes with their content, so that browsers keep them for ever."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources

from fastapi import APIRouter, Response

from app.errors import ServiceError

MEDIA_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
FOR_EVER = "public, max-age=31536000, immutable"

router = APIRouter(prefix="/dashboard/static", include_in_schema=False)


@cache
def load_files() -> dict[str, bytes]:
    """Return every file by its name."""
    folder = resources.files("app.dashboard") / "static"
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name.rpartition(".")[2] in MEDIA_TYPES}


@cache
def current_version() -> str:
    """Return what all files together are known by: modules import each other by relative names."""
    digest = hashlib.sha256()
    for name, content in sorted(load_files().items()):
        digest.update(f"{name}\n{len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]


def url_of(name: str) -> str:
    assert name in load_files(), f"no static file {name}"
    return f"/dashboard/static/{current_version()}/{name}"


@router.get("/{version}/{name}")
def get_static_file(version: str, name: str) -> Response:
    """Return a file; a page that was loaded before an upgrade gets the file of today, which is not kept."""
    content = load_files().get(name)
    if content is None:
        raise ServiceError("route_not_found", f"There is no file {name[:80]!r}.")
    headers = {"Cache-Control": FOR_EVER if version == current_version() else "no-store"}
    return Response(content, headers=headers, media_type=MEDIA_TYPES[name.rpartition(".")[2]])
