"""Lists: one page at a time, or all of them one item after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from farzi_client.errors import UnexpectedAnswer
from farzi_client.models import Answer, Page
from farzi_client.transport import Transport

PAGE_SIZE = 100

T = TypeVar("T", bound=Answer)


def get_page(transport: Transport, path: str, model: type[T], params: Mapping[str, Any]) -> Page[T]:
    answer = transport.get(path, params)
    if not isinstance(answer, Mapping) or "data" not in answer:
        raise UnexpectedAnswer(f"{path} did not answer with a list; is FARZI_API_URL the address of a Farzi service?")
    return Page(
        data=tuple(model.from_json(item) for item in answer["data"]),
        has_more=bool(answer.get("has_more")),
        next_cursor=answer.get("next_cursor"),
    )


def iterate_pages(transport: Transport, path: str, model: type[T], params: Mapping[str, Any]) -> Iterator[T]:
    """Yield every item; the next page is asked for only when the last one is used up."""
    cursor: str | None = None
    while True:
        page = get_page(transport, path, model, {"limit": PAGE_SIZE, **params, "cursor": cursor})
        yield from page.data
        if not page.has_more or page.next_cursor is None:
            return
        cursor = page.next_cursor
