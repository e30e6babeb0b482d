"""The answer to a download: conditions, ranges and digest, whatever the bytes come from."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from app.byte_range import parse_range
from app.content_disposition import attachment
from app.errors import ServiceError
from app.head_requests import is_head
from app.storage import CHUNK_BYTES


@dataclass(frozen=True)
class Download:
    """A file to be sent.

    Attributes:
        name: file name that the caller is told.
        media_type: of the content.
        size_bytes: of the whole.
        sha256: of the whole, in hex.
        open_stream: yields the bytes from a start up to, not including, an end.
        close: called when no byte is to be read.
    """

    name: str
    media_type: str
    size_bytes: int
    sha256: str
    open_stream: Callable[[int, int], Iterator[bytes]]
    close: Callable[[], None] = lambda: None

    @property
    def etag(self) -> str:
        return f'"{self.sha256}"'


def read_from(file: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    """Yield a part of an open file and close it."""
    with file:
        file.seek(start)
        while start < end and (chunk := file.read(min(CHUNK_BYTES, end - start))):
            start += len(chunk)
            yield chunk


def is_known(download: Download, request: Request) -> bool:
    """Return whether ``If-None-Match`` says that the caller has the file; ``*`` is any."""
    asked = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    return download.etag in asked or asked == ["*"]


def send(download: Download, request: Request) -> Response:
    """Answer with the file or the part of it that is asked for."""
    try:
        answer = _answer(download, request)
    except ServiceError:
        download.close()
        raise
    if not isinstance(answer, StreamingResponse):
        download.close()
    return answer


def _answer(download: Download, request: Request) -> Response:
    headers = {
        "ETag": download.etag,
        "Accept-Ranges": "bytes",
        "Content-Disposition": attachment(download.name),
        "Cache-Control": "private, no-cache",
        "X-Content-Type-Options": "nosniff",
        "Repr-Digest": f"sha-256=:{base64.b64encode(bytes.fromhex(download.sha256)).decode()}:",
    }
    if is_known(download, request):
        return Response(status_code=304, headers=headers)
    asked = request.headers.get("range") if request.headers.get("if-range", download.etag) == download.etag else None
    part = parse_range(asked, download.size_bytes)
    start, end = part or (0, download.size_bytes)
    if part is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{download.size_bytes}"
    headers["Content-Length"] = str(end - start)
    status = 200 if part is None else 206
    if start == end or is_head(request.scope):
        return Response(b"", status, headers, media_type=download.media_type)
    return StreamingResponse(download.open_stream(start, end), status, headers, media_type=download.media_type)
