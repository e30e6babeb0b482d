"""Receive an upload: from the socket to a file, in bounded memory, with its limit and digest checked on the way."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from app.datasets.service import ReceivedContent
from app.errors import ServiceError

WRITE_BYTES = 1 << 20
SPOOL_DIRECTORY = "incoming"  # inside DATA_DIR
_SHA256_FIELD = re.compile(r"sha-256\s*=\s*:([A-Za-z0-9+/=]*):")


def check_headers(request: Request, max_bytes: int) -> bytes | None:
    """Refuse what need not be read at all, and return the SHA-256 that the caller promises, if any."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise ServiceError("unsupported_media_type", f"Content-Encoding {encoding!r} is not taken; send the bytes as they are.")
    length = request.headers.get("content-length")
    if length is not None and int(length) > max_bytes:
        raise _too_large(max_bytes)
    if length == "0":
        raise _empty()
    return _parse_digest(request.headers.get("content-digest"))


@asynccontextmanager
async def received(
    request: Request, directory: Path, max_bytes: int, expected_sha256: bytes | None
) -> AsyncIterator[ReceivedContent]:
    """Yield the body as a file that is gone when the block ends.

    Raises:
        ServiceError: it is empty, too large, or not what the digest promised.
        ClientDisconnect: it did not arrive whole.
    """
    handle, name = await run_in_threadpool(_make_spool_file, directory)
    try:
        with os.fdopen(handle, "wb", buffering=0) as spool:
            digest, num_bytes = hashlib.sha256(), 0
            async for block in _blocks(request, max_bytes):
                await run_in_threadpool(digest.update, block)
                await run_in_threadpool(spool.write, block)
                num_bytes += len(block)
        if not num_bytes:
            raise _empty()
        if expected_sha256 is not None and digest.digest() != expected_sha256:
            raise ServiceError(
                "content_digest_mismatch",
                f"The bytes have SHA-256 {digest.hexdigest()}, Content-Digest promised {expected_sha256.hex()}; "
                "nothing was kept, send the file again.",
            )
        yield ReceivedContent(Path(name), num_bytes, digest.hexdigest())
    finally:
        await run_in_threadpool(Path(name).unlink, missing_ok=True)


async def _blocks(request: Request, max_bytes: int) -> AsyncIterator[bytes]:
    """Yield the body in blocks of about a mebibyte: one thread hand-over for each, not one for each packet."""
    waiting, num_bytes = bytearray(), 0
    async for chunk in request.stream():
        num_bytes += len(chunk)
        if num_bytes > max_bytes:
            raise _too_large(max_bytes)
        waiting += chunk
        if len(waiting) >= WRITE_BYTES:
            yield bytes(waiting)
            waiting.clear()
    if waiting:
        yield bytes(waiting)


def _make_spool_file(directory: Path) -> tuple[int, str]:
    directory.mkdir(parents=True, exist_ok=True)
    return tempfile.mkstemp(dir=directory, prefix="upload-")


def _parse_digest(field: str | None) -> bytes | None:
    """Return the SHA-256 of a ``Content-Digest`` (RFC 9530); other algorithms in it are ignored, as the RFC asks."""
    if field is None:
        return None
    found = _SHA256_FIELD.search(field)
    try:
        digest = base64.b64decode(found.group(1), validate=True) if found else b""
    except binascii.Error:
        digest = b""
    if len(digest) != hashlib.sha256().digest_size:
        raise ServiceError(
            "invalid_content_digest", f"Content-Digest {field[:100]!r} has no SHA-256; send 'sha-256=:BASE64 OF 32 BYTES:'."
        )
    return digest


def _too_large(max_bytes: int) -> ServiceError:
    message = f"The upload has more than {max_bytes} bytes, the most that is taken."
    return ServiceError("upload_too_large", message, headers={"Connection": "close"})


def _empty() -> ServiceError:
    return ServiceError("empty_upload", "The upload has 0 bytes; send the file's bytes as the body.")
