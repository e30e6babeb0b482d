"""A file on its way up: digest and chunks in constant memory."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

CHUNK_BYTES = 1 << 20

# Called with the bytes done so far and the bytes there are.
ByteProgress = Callable[[int, int], None]


def hash_file(path: Path) -> bytes:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def content_digest(digest: bytes) -> str:
    """Return the ``Content-Digest`` header of RFC 9530 for a SHA-256."""
    return f"sha-256=:{base64.b64encode(digest).decode()}:"


def read_chunks(path: Path, size_bytes: int, offset_bytes: int = 0) -> Iterator[bytes]:
    """Yield ``size_bytes`` of a file and no more: one that grows meanwhile must not outrun its ``Content-Length``."""
    with path.open("rb") as file:
        file.seek(offset_bytes)
        while chunk := file.read(min(CHUNK_BYTES, size_bytes)):
            size_bytes -= len(chunk)
            yield chunk
