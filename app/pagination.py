"""Lists in pages: an opaque cursor that names the last item seen, so that new items never shift a page.

A cursor is sealed for the list it was made for: one of another list or of another tenant, and one that was changed, is refused
instead of being read as a place in this one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.errors import FieldProblem, ServiceError
from app.schemas import Page

Row = TypeVar("Row")
Out = TypeVar("Out")

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
SEAL_BYTES = 12
# Base64 of the seal, which takes 16 characters, and of a position.
CURSOR_FORM = "^[A-Za-z0-9_-]{20,200}$"

_list_key: ContextVar[bytes] = ContextVar("list_key")


class PageQuery(BaseModel):
    """Query of every list."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Most items of one page.")
    cursor: str | None = Field(None, pattern=CURSOR_FORM, description="`next_cursor` of the page before, of the same list.")


@contextmanager
def cursors_of_list(secret: bytes, tenant_id: str, path: str) -> Iterator[None]:
    """Seal and open cursors for one tenant's list at ``path`` until the block ends, in this request and its threads."""
    token = _list_key.set(hmac.digest(secret, f"cursor\n{tenant_id}\n{path}".encode(), hashlib.sha256))
    try:
        yield
    finally:
        _list_key.reset(token)


def encode_cursor(position: str | int) -> str:
    """Return the cursor that continues after the item at ``position``."""
    payload = json.dumps([position]).encode()
    return base64.urlsafe_b64encode(_seal(payload) + payload).decode().rstrip("=")


def decode_cursor(cursor: str, kind: type[Row]) -> Row:
    """Return the position in ``cursor``.

    Raises:
        ServiceError: cursor_not_found, if it is none of ours or of another list.
    """
    try:
        sealed = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except (binascii.Error, ValueError):
        sealed = b""
    payload = sealed[SEAL_BYTES:]
    if not hmac.compare_digest(sealed[:SEAL_BYTES], _seal(payload)) or encode_cursor(*json.loads(payload)) != cursor:
        problem = FieldProblem("/query/cursor", "not a cursor of this list; give next_cursor of the page before, unchanged")
        raise ServiceError("cursor_not_found", f"{problem.pointer}: {problem.detail}", problems=(problem,))
    (position,) = json.loads(payload)
    assert type(position) is kind, f"the list was sealed with positions of type {type(position).__name__}"
    return position


def newest_first(
    session: Session, query: Select[Row], id_column: InstrumentedAttribute[str], page: PageQuery
) -> tuple[Sequence[Row], bool]:
    """Return one page of rows by descending id, which is descending time, and whether there are more."""
    if page.cursor is not None:
        query = query.where(id_column < decode_cursor(page.cursor, str))
    rows = session.scalars(query.order_by(id_column.desc()).limit(page.limit + 1)).all()
    return rows[: page.limit], len(rows) > page.limit


def page_of(rows: Sequence[Row], position: Callable[[Row], str], page: PageQuery) -> tuple[Sequence[Row], bool]:
    """Return one page of rows that are all at hand, in an order of their own, and whether there are more."""
    if page.cursor is not None:
        last = decode_cursor(page.cursor, str)
        positions = [position(row) for row in rows]
        rows = rows[positions.index(last) + 1 :] if last in positions else ()
    return rows[: page.limit], len(rows) > page.limit


def make_page(
    rows: Sequence[Any], has_more: bool, present: Callable[[Any], Out], position: Callable[[Any], str | int]
) -> Page[Out]:
    """Return the answer for one page of rows."""
    cursor = encode_cursor(position(rows[-1])) if has_more else None
    return Page(data=[present(row) for row in rows], has_more=has_more, next_cursor=cursor)


def _seal(payload: bytes) -> bytes:
    return hmac.digest(_list_key.get(), payload, hashlib.sha256)[:SEAL_BYTES]
