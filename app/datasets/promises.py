"""What a request says of its body before it comes: length, digest, encoding; and whether the body kept to it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, replace

from starlette.datastructures import Headers

from app.datasets.service import ReceivedContent
from app.errors import ServiceError
from farzi_core.content_encoding import ContentEncoding

_SHA256_FIELD = re.compile(r"sha-256\s*=\s*:([A-Za-z0-9+/=]*):")
# RFC 9110 keeps x-gzip for old clients.
_ENCODINGS: dict[str, ContentEncoding | None] = {"identity": None, "gzip": "gzip", "x-gzip": "gzip", "zstd": "zstd"}


@dataclass(frozen=True)
class BodyPromise:
    """What a body may and has to be.

    Attributes:
        max_bytes: most bytes that are read.
        too_large: the answer to a body that is longer.
        size_bytes: its length, where the request says it.
        sha256: digest of the bytes as they are sent, where the request says it.
        encoding: how they are compressed, where the request says it.
    """

    max_bytes: int
    too_large: ServiceError
    size_bytes: int | None = None
    sha256: bytes | None = None
    encoding: ContentEncoding | None = None

    def with_headers(self, headers: Headers) -> BodyPromise:
        """Add what the headers say, and refuse what need not be read at all."""
        size_bytes = _read_length(headers.get("content-length"))
        if size_bytes is not None and size_bytes > self.max_bytes:
            raise self.too_large
        if size_bytes == 0:
            raise _empty()
        encoding = _read_encoding(headers.get("content-encoding", "identity"))
        return replace(self, size_bytes=size_bytes, sha256=_read_digest(headers.get("content-digest")), encoding=encoding)

    def check_so_far(self, num_bytes: int) -> None:
        if num_bytes > self.max_bytes:
            raise self.too_large

    def check(self, content: ReceivedContent) -> None:
        """Compare the whole body with what was promised of it."""
        if not content.size_bytes:
            raise _empty()
        if self.size_bytes is not None and content.size_bytes != self.size_bytes:
            message = f"The body has {content.size_bytes} bytes, Content-Length promised {self.size_bytes}."
            raise ServiceError("bad_request", message, headers={"Connection": "close"})
        if self.sha256 is not None and content.sha256 != self.sha256.hex():
            raise ServiceError(
                "content_digest_mismatch",
                f"The bytes have SHA-256 {content.sha256}, Content-Digest promised {self.sha256.hex()}; "
                "nothing was kept, send them again.",
            )
        if self.encoding is not None and content.encoding != self.encoding:
            found = f"with {content.encoding}" if content.encoding else "neither with gzip nor with zstd"
            raise ServiceError(
                "content_encoding_mismatch",
                f"Content-Encoding is {self.encoding}, but the bytes are compressed {found}; compress them, or leave the "
                "header out: compressed files are recognised by their first bytes.",
            )


def _read_length(field: str | None) -> int | None:
    if field is None:
        return None
    if not (field.isascii() and field.isdecimal()):
        message = f"Content-Length {field[:100]!r} is no number of bytes; send the length of the body in digits."
        raise ServiceError("bad_request", message, headers={"Connection": "close"})
    return int(field) if len(field) < 20 else 10**20


def _read_encoding(field: str) -> ContentEncoding | None:
    name = field.strip().lower()
    if name not in _ENCODINGS:
        raise ServiceError(
            "unsupported_media_type", f"Content-Encoding {field[:100]!r} is not taken; send one of {', '.join(_ENCODINGS)}."
        )
    return _ENCODINGS[name]


def _read_digest(field: str | None) -> bytes | None:
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


def _empty() -> ServiceError:
    return ServiceError("empty_upload", "The upload has 0 bytes; send the file's bytes as the body.")
