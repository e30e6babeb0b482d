"""Names of downloads arrive whole in clients that know RFC 8187, and harmless in those that do not."""

from __future__ import annotations

import httpx
import pytest

from app.content_disposition import attachment


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("sequences-4-draws.inter", 'attachment; filename="sequences-4-draws.inter"'),
        ("my file.bin", 'attachment; filename="my file.bin"'),
        ("Amélie.json", "attachment; filename=\"Am_lie.json\"; filename*=UTF-8''Am%C3%A9lie.json"),
        ('a"; x="b', "attachment; filename=\"a__ x__b\"; filename*=UTF-8''a%22%3B%20x%3D%22b"),
        (
            "../etc/passwd\r\nX: y",
            "attachment; filename=\".._etc_passwd__X_ y\"; filename*=UTF-8''..%2Fetc%2Fpasswd%0D%0AX%3A%20y",
        ),
    ],
)
def test_names(name: str, header: str) -> None:
    assert attachment(name) == header
    assert httpx.Headers({"Content-Disposition": header}).raw[0][1].isascii()
