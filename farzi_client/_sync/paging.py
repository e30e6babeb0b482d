# Made from farzi_client/_async/paging.py by python -m tests.farzi_client.twins: change it there.
"""Lists: one page at a time, or all of them one item after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from farzi_client import paging
from farzi_client._sync.transport import Transport
from farzi_client.models import Answer, Page

T = TypeVar("T", bound=Answer)


def get_page(transport: Transport, path: str, model: type[T], params: Mapping[str, Any]) -> Page[T]:
    return paging.read_page(transport.get(path, params), path, model)


def iterate_pages(transport: Transport, path: str, model: type[T], params: Mapping[str, Any]) -> Iterator[T]:
    """Yield every item; the next page is asked for only when the last one is used up."""
    cursor: str | None = None
    while True:
        page = get_page(transport, path, model, {"limit": paging.PAGE_SIZE, **params, "cursor": cursor})
        for item in page.data:
            yield item
        if not page.has_more or page.next_cursor is None:
            return
        cursor = page.next_cursor
