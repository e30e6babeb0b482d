"""The answer to a download: conditions, ranges and digest, whatever the bytes come from."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from app.byte_range import parse_range
from app.errors import ServiceError
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


def read_from(file: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    """Yield a part of an open file and close it."""
    with file:
        file.seek(start)
        while start < end and (chunk := file.read(min(CHUNK_BYTES, end - start))):
            start += len(chunk)
            yield chunk


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
    etag = f'"{download.sha256}"'
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Content-Disposition": f'attachment; filename="{download.name}"',
        "Cache-Control": "private, no-cache",
        "X-Content-Type-Options": "nosniff",
        "Repr-Digest": f"sha-256=:{base64.b64encode(bytes.fromhex(download.sha256)).decode()}:",
    }
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    asked = request.headers.get("range") if request.headers.get("if-range", etag) == etag else None
    part = parse_range(asked, download.size_bytes)
    start, end = part or (0, download.size_bytes)
    if part is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{download.size_bytes}"
    headers["Content-Length"] = str(end - start)
    if start == end:
        return Response(b"", 200, headers, media_type=download.media_type)
    content = download.open_stream(start, end)
    return StreamingResponse(content, 200 if part is None else 206, headers, media_type=download.media_type)
