"""The header ``Content-Disposition`` of a download (RFC 6266), with a name that may hold any character (RFC 8187)."""

from __future__ import annotations

import re
from urllib.parse import quote

_PLAIN = re.compile(r"[A-Za-z0-9!#$&+.^_`|~ -]+")
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9!#$&+.^_`|~ -]")


def attachment(file_name: str) -> str:
    """Return the header that saves the answer under ``file_name``; one that is not plain comes twice, once for old clients."""
    plain = f'attachment; filename="{_NOT_PLAIN.sub("_", file_name)}"'
    return plain if _PLAIN.fullmatch(file_name) else f"{plain}; filename*=UTF-8''{quote(file_name, safe='')}"
