"""The header ``Range`` (RFC 9110): one range of bytes; everything else is answered with the whole file, as the RFC allows."""

from __future__ import annotations

import re

from app.errors import ServiceError

_SINGLE_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def parse_range(header: str | None, size_bytes: int) -> tuple[int, int] | None:
    """Return (start, end), end not included, of the part that is asked for; None for the whole file.

    Raises:
        ServiceError: range_not_satisfiable.
    """
    found = _SINGLE_RANGE.fullmatch(header.strip()) if header else None
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if first and last and int(last) < int(first):
        return None
    start = int(first) if first else max(0, size_bytes - int(last))
    end = min(int(last) + 1, size_bytes) if first and last else size_bytes
    if start >= end:
        raise ServiceError(
            "range_not_satisfiable",
            f"Range {found.group(0)!r} lies outside the file of {size_bytes} bytes.",
            headers={"Content-Range": f"bytes */{size_bytes}"},
        )
    return start, end
