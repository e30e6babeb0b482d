# Made from farzi_client/_async/keys.py by python -m tests.farzi_client.twins: change it there.
"""API keys: create, look, rename, revoke."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from farzi_client._sync.paging import iterate_pages
from farzi_client._sync.transport import Transport
from farzi_client.models import ApiKey
from farzi_client.transport import segment

PATH = "/v1/api-keys"


class Keys:
    """``client.keys``; needs a key of scope ``admin``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, name: str, *, scopes: Sequence[str], expires_at: datetime | None = None) -> ApiKey:
        """Create a key. The secret, ``key``, is in this answer and nowhere else afterwards."""
        body: dict[str, Any] = {"name": name, "scopes": list(scopes)}
        if expires_at is not None:
            body["expires_at"] = expires_at.isoformat()
        return ApiKey.from_json(self._transport.post(PATH, body))

    def list(self) -> Iterator[ApiKey]:
        """Yield every key, page after page, without secrets."""
        return iterate_pages(self._transport, PATH, ApiKey, {})

    def get(self, key_id: str) -> ApiKey:
        """Return one key, without its secret."""
        return ApiKey.from_json(self._transport.get(f"{PATH}/{segment(key_id)}"))

    def rename(self, key_id: str, name: str) -> ApiKey:
        """Say anew what a key is for."""
        return ApiKey.from_json(self._transport.request("PATCH", f"{PATH}/{segment(key_id)}", json={"name": name}))

    def revoke(self, key_id: str) -> None:
        """Make a key worthless at once."""
        self._transport.delete(f"{PATH}/{segment(key_id)}")
