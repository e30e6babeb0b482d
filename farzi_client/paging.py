"""What a page of a list is read from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from farzi_client.errors import UnexpectedAnswer
from farzi_client.models import Answer, Page

PAGE_SIZE = 100

T = TypeVar("T", bound=Answer)


def read_page(answer: Any, path: str, model: type[T]) -> Page[T]:
    if not isinstance(answer, Mapping) or "data" not in answer:
        raise UnexpectedAnswer(f"{path} did not answer with a list; is FARZI_API_URL the address of a Farzi service?")
    return Page(
        data=tuple(model.from_json(item) for item in answer["data"]),
        has_more=bool(answer.get("has_more")),
        next_cursor=answer.get("next_cursor"),
    )
