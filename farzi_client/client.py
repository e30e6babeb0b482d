"""The two clients, which are one: ``Client`` blocks, ``AsyncClient`` is awaited."""

from farzi_client._async.client import AsyncClient
from farzi_client._sync.client import Client

__all__ = ["AsyncClient", "Client"]
