"""What hostile files are made of: good content of every format, to be spoiled."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from farzi_core.config import DataFormat

READY = "ready"
ROWS = [(f"u{user}", f"i{(user * 7 + at) % 9}", at) for user in range(4) for at in range(6)]
HEADER = "user,item,timestamp\n"
BODY = "".join(f"{user},{item},{at}\n" for user, item, at in ROWS)
CSV = HEADER + BODY
JSON_LINES = [json.dumps({"user": user, "item": item, "timestamp": at}) for user, item, at in ROWS]
FORMATS: tuple[DataFormat, ...] = ("csv", "tsv", "jsonl", "parquet", "inter", "sequences", "text")
MIB = 2**20


@dataclass(frozen=True)
class HostileFile:
    """A file.

    Attributes:
        kind: class of the attack.
        name: what is in it.
        data_format: what it is declared to be.
        make: makes the bytes.
        verdict: ``ready``, or the codes of the report of which one has to be there.
        options: reading options.
    """

    kind: str
    name: str
    data_format: DataFormat
    make: Callable[[], bytes]
    verdict: str | frozenset[str]
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind}-{self.data_format}-{self.name}".replace(" ", "_")


def text(content: str) -> Callable[[], bytes]:
    return content.encode


def one_of(*codes: str) -> frozenset[str]:
    return frozenset(codes)


def with_row(row: str) -> Callable[[], bytes]:
    return text(f"{CSV}{row}\n{BODY}")


def with_object(line: str) -> Callable[[], bytes]:
    return text("\n".join([*JSON_LINES[:5], line, *JSON_LINES[5:], ""]))


def parquet(columns: dict[str, Any] | None = None, **options: Any) -> bytes:
    users, items, times = zip(*ROWS, strict=True)
    buffer = io.BytesIO()
    pq.write_table(pa.table({"user": users, "item": items, "timestamp": times} | (columns or {})), buffer, **options)
    return buffer.getvalue()
