"""How the bytes of an uploaded file are compressed, by the first of them. Imports nothing heavy: the service looks, too."""

from __future__ import annotations

from typing import Literal

ContentEncoding = Literal["gzip", "zstd"]
"""Names as in the header ``Content-Encoding`` (RFC 9110, RFC 8878)."""

# None of our formats can begin like this: text with either start is no UTF-8, and parquet begins with PAR1.
_STARTS: dict[bytes, ContentEncoding] = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
START_BYTES = 4


def detect_encoding(start: bytes) -> ContentEncoding | None:
    """Return the compression of a file that begins with ``start``, at least ``START_BYTES`` of it if it has as many."""
    for magic, encoding in _STARTS.items():
        if start.startswith(magic):
            return encoding
    return None
