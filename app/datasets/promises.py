"""What a request says of its body before it comes: form, length, digests, encoding; and whether the body kept to it."""

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
_DIGEST_FIELDS = ("Content-Digest", "Repr-Digest")
# Names and boundaries are around the file's bytes. The other kind of form is let in: curl --data-binary and Python's urllib
# call a file's very bytes that, where nobody says what they are.
_FORM = "multipart/"
# RFC 9110 keeps x-gzip for old clients.
_ENCODINGS: dict[str, ContentEncoding | None] = {"identity": None, "gzip": "gzip", "x-gzip": "gzip", "zstd": "zstd"}


@dataclass(frozen=True)
class BodyPromise:
    """What a body may and has to be.

    Attributes:
        max_bytes: most bytes that are read.
        too_large: the answer to a body that is longer.
        size_bytes: its length, where the request says it.
        digests: fields of the request with a SHA-256 of the bytes as they are sent, each with what it says.
        encoding: how they are compressed, where the request says it.
    """

    max_bytes: int
    too_large: ServiceError
    size_bytes: int | None = None
    digests: tuple[tuple[str, bytes], ...] = ()
    encoding: ContentEncoding | None = None

    def with_headers(self, headers: Headers) -> BodyPromise:
        """Add what the headers say, and refuse what need not be read at all."""
        _require_whole_file(headers)
        size_bytes = _read_length(headers.get("content-length"))
        if size_bytes is not None and size_bytes > self.max_bytes:
            raise self.too_large
        if size_bytes == 0:
            raise _empty()
        encoding = _read_encoding(headers.get("content-encoding", "identity"))
        digests = tuple((name, digest) for name in _DIGEST_FIELDS for digest in _read_digests(name, headers))
        return replace(self, size_bytes=size_bytes, digests=digests, encoding=encoding)

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
        for name, digest in self.digests:
            if content.sha256 != digest.hex():
                raise ServiceError(
                    "content_digest_mismatch",
                    f"The bytes have SHA-256 {content.sha256}, {name} promised {digest.hex()}; nothing was kept, send them "
                    "again.",
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


def _require_whole_file(headers: Headers) -> None:
    """Refuse a body that is a form or a piece: its bytes would be taken for those of the file."""
    media_type = headers.get("content-type", "").strip().lower()
    if media_type.startswith(_FORM):
        shown = media_type.partition(";")[0][:100]
        raise ServiceError(
            "unsupported_media_type",
            f"The body is {shown!r}, and what is taken are the file's bytes alone; send them with "
            "'Content-Type: application/octet-stream' (curl -T FILE does not send a form).",
        )
    if "content-range" in headers:
        raise ServiceError("bad_request", "Content-Range is not taken; send the whole file, or upload it in parts.")


def _read_digests(name: str, headers: Headers) -> list[bytes]:
    """Return each SHA-256 of a digest field (RFC 9530); other algorithms in it are ignored, as the RFC asks."""
    field = ", ".join(headers.getlist(name))
    if not field:
        return []
    try:
        digests = [base64.b64decode(found, validate=True) for found in _SHA256_FIELD.findall(field)]
    except binascii.Error:
        digests = []
    if not digests or any(len(digest) != hashlib.sha256().digest_size for digest in digests):
        raise ServiceError(
            "invalid_content_digest", f"{name} {field[:100]!r} has no SHA-256; send 'sha-256=:BASE64 OF 32 BYTES:'."
        )
    return digests


def _empty() -> ServiceError:
    return ServiceError("empty_upload", "The upload has 0 bytes; send the file's bytes as the body.")
