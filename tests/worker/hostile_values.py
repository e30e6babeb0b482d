"""Hostile files of numbers, shapes and nesting."""

from __future__ import annotations

import io
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.worker.hostile_making import (
    CSV,
    HEADER,
    MIB,
    READY,
    ROWS,
    HostileFile,
    one_of,
    parquet,
    text,
    with_object,
    with_row,
)


def _many_columns() -> bytes:
    return parquet({f"c{number}": [0] * len(ROWS) for number in range(10_500)})


def _nested(depth: int, opening: str, closing: str) -> str:
    return f'{{"user": "u", "item": "i", "timestamp": 1, "x": {opening * depth}{closing * depth}}}'


def _parquet_twice() -> bytes:
    users, items, _ = zip(*ROWS, strict=True)
    buffer = io.BytesIO()
    pq.write_table(
        pa.Table.from_arrays([pa.array(users), pa.array(items), pa.array(items)], names=["user", "item", "item"]), buffer
    )
    return buffer.getvalue()


NUMBERS = [
    HostileFile("numbers", value, "csv", with_row(f"u0,i1,{value}"), one_of("bad_timestamp"))
    for value in ("1e999", "-1e999", "NaN", "nan", "inf", "-inf", "Infinity", "0x10", "1_000", "१२३", "1,5"[:1] + "e", "--1")
] + [
    HostileFile("numbers", "minus zero", "csv", with_row("u0,i1,-0"), READY),
    HostileFile("numbers", "more than int64", "csv", with_row("u0,i1,9223372036854775808"), READY),
    HostileFile("numbers", "the least int64", "csv", with_row("u0,i1,-9223372036854775808"), READY),
    HostileFile("numbers", "the largest floats", "csv", with_row("u0,i1,-1.7e308\nu0,i1,1.7e308"), READY),
    HostileFile("numbers", "the smallest float", "csv", with_row("u0,i1,5e-324"), READY),
    HostileFile("numbers", "a hundred thousand digits", "csv", with_row("u0,i1," + "9" * 100_000), one_of("bad_timestamp")),
    HostileFile(
        "numbers",
        "a hundred thousand digits",
        "jsonl",
        with_object(f'{{"user": "u", "item": "i", "timestamp": {"9" * 100_000}}}'),
        one_of("not_json"),
    ),
    HostileFile(
        "numbers", "1e999", "jsonl", with_object('{"user": "u", "item": "i", "timestamp": 1e999}'), one_of("bad_timestamp")
    ),
    HostileFile(
        "numbers", "NaN", "jsonl", with_object('{"user": "u", "item": "i", "timestamp": NaN}'), one_of("bad_timestamp")
    ),
    HostileFile(
        "numbers", "the year 10000", "csv", lambda: CSV.replace(",5\n", ",10000-01-01\n").encode(), one_of("bad_timestamp")
    ),
    HostileFile(
        "numbers",
        "uint64 times",
        "parquet",
        lambda: parquet({"timestamp": pa.array([2**64 - 1] * len(ROWS), pa.uint64())}),
        one_of("bad_timestamp"),
    ),
    HostileFile(
        "numbers",
        "dates of the year 5,000,000",
        "parquet",
        lambda: parquet({"timestamp": pa.array([2**31 - 1] * len(ROWS), pa.int32()).cast(pa.date32())}),
        one_of("bad_timestamp"),
    ),
    HostileFile(
        "numbers",
        "dates",
        "parquet",
        lambda: parquet({"timestamp": [date(1, 1, 1), date(9999, 12, 31)] * (len(ROWS) // 2)}),
        READY,
    ),
    HostileFile(
        "numbers",
        "decimals of 76 digits",
        "parquet",
        lambda: parquet({"timestamp": pa.array([1] * len(ROWS)).cast(pa.decimal256(76, 38))}),
        READY,
    ),
    HostileFile(
        "numbers",
        "half floats",
        "parquet",
        lambda: parquet({"timestamp": pa.array(np.arange(len(ROWS), dtype=np.float16))}),
        READY,
    ),
]
SHAPES = [
    HostileFile(
        "shape", "a million columns", "csv", lambda: HEADER[:-1].encode() + b",x" * 10**6 + b"\n", one_of("too_many_columns")
    ),
    HostileFile(
        "shape",
        "a million columns",
        "inter",
        lambda: b"user_id:token\titem_id:token" + b"\tx:token" * 10**6 + b"\n",
        one_of("too_many_columns"),
    ),
    HostileFile("shape", "ten thousand columns", "parquet", _many_columns, one_of("too_many_columns")),
    HostileFile("shape", "a row of a million fields", "csv", with_row("u" + "," * 10**6), one_of("wrong_field_count")),
    HostileFile("shape", "a header twice", "csv", text(HEADER + CSV), one_of("bad_timestamp")),
    HostileFile("shape", "a column twice", "csv", text(CSV.replace("timestamp", "user")), one_of("unknown_column")),
    HostileFile("shape", "a column twice", "parquet", _parquet_twice, one_of("unknown_column")),
    HostileFile("shape", "only a header", "csv", text(HEADER), one_of("no_events")),
    HostileFile("shape", "only a header", "inter", text("user_id:token\titem_id:token\n"), one_of("no_events")),
    HostileFile(
        "shape",
        "no rows",
        "parquet",
        lambda: parquet({"user": [], "item": pa.array([], pa.string()), "timestamp": []}),
        one_of("no_events", "wrong_type"),
    ),
    HostileFile(
        "shape",
        "types that are none of RecBole's",
        "inter",
        text("user_id:token\titem_id:__import__('os')\nu\ti\n"),
        one_of("bad_header"),
    ),
    HostileFile(
        "shape",
        "a hundred thousand bad rows",
        "csv",
        lambda: CSV.encode() + b"u,,x\n" * 100_000,
        one_of("empty_value", "bad_timestamp"),
    ),
    HostileFile("shape", "a line of a million items", "sequences", lambda: b"u" + b" a b" * 500_000 + b"\nv a b c\n", READY),
    HostileFile(
        "shape",
        "a struct for an id",
        "parquet",
        lambda: parquet({"user": [{"id": user} for user, _, _ in ROWS]}),
        one_of("wrong_type"),
    ),
    HostileFile(
        "shape", "binary for an id", "parquet", lambda: parquet({"user": [b"\xff\xfe"] * len(ROWS)}), one_of("wrong_type")
    ),
    HostileFile(
        "shape",
        "a struct named as a path",
        "parquet",
        lambda: parquet({"user.id": ["x"] * len(ROWS), "extra": [{"id": 1}] * len(ROWS)}),
        READY,
    ),
    HostileFile(
        "depth", "arrays in one that is not read", "jsonl", with_object(_nested(100_000, "[", "]")), one_of("not_json")
    ),
    HostileFile(
        "depth",
        "objects in one that is not read",
        "jsonl",
        with_object(_nested(50_000, '{"a":', "}").replace(":}", ":1}")),
        one_of("not_json"),
    ),
    HostileFile(
        "depth",
        "an array for an id",
        "jsonl",
        with_object(f'{{"user": {"[" * 900 + "]" * 900}, "item": "i", "timestamp": 1}}'),
        one_of("wrong_type", "not_json"),
    ),
    HostileFile("depth", "arrays without end", "jsonl", lambda: b"[" * MIB, one_of("not_json")),
    HostileFile(
        "depth",
        "the same key a thousand times",
        "jsonl",
        with_object("{" + '"user": "u", ' * 1000 + '"item": "i", "timestamp": 1}'),
        READY,
    ),
    HostileFile(
        "depth",
        "a thousand keys",
        "jsonl",
        with_object("{" + "".join(f'"k{n}": 0, ' for n in range(1000)) + '"user": "u", "item": "i", "timestamp": 1}'),
        READY,
    ),
    HostileFile(
        "depth",
        "keys of the language",
        "jsonl",
        with_object('{"__proto__": {"user": "x"}, "__class__": 1, "user": "u", "item": "i", "timestamp": 1}'),
        READY,
    ),
]
