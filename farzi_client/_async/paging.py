"""Lists: one page at a time, or all of them one item after the other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeVar

from farzi_client import paging
from farzi_client._async.transport import AsyncTransport
from farzi_client.models import Answer, Page

T = TypeVar("T", bound=Answer)


async def get_page(transport: AsyncTransport, path: str, model: type[T], params: Mapping[str, Any]) -> Page[T]:
    return paging.read_page(await transport.get(path, params), path, model)


async def iterate_pages(transport: AsyncTransport, path: str, model: type[T], params: Mapping[str, Any]) -> AsyncIterator[T]:
    """Yield every item; the next page is asked for only when the last one is used up."""
    cursor: str | None = None
    while True:
        page = await get_page(transport, path, model, {"limit": paging.PAGE_SIZE, **params, "cursor": cursor})
        for item in page.data:
            yield item
        if not page.has_more or page.next_cursor is None:
            return
        cursor = page.next_cursor
