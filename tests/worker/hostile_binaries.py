"""Hostile parquet files, and files that are none of what they are declared to be."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.worker.hostile_making import (
    CSV,
    FORMATS,
    JSON_LINES,
    MIB,
    ROWS,
    HostileFile,
    one_of,
    parquet,
    text,
)


def _with_footer(change: Callable[[bytearray], None]) -> bytes:
    content = bytearray(parquet())
    change(content)
    return bytes(content)


def _footer_length(value: int) -> Callable[[], bytes]:
    def change(content: bytearray) -> None:
        content[-8:-4] = value.to_bytes(4, "little")

    return lambda: _with_footer(change)


def _lying_num_rows(value: int) -> Callable[[], bytes]:
    """The footer's zigzag varints of 24, the number of rows, say something else in as many bytes."""

    def change(content: bytearray) -> None:
        start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
        # Field 3 of FileMetaData, an i64: header 0x16, then zigzag(24) = 48, after the schema.
        at = content.index(b"\x16\x30", start)
        content[at + 1] = value * 2

    return lambda: _with_footer(change)


def _flip(start: int, step: int) -> Callable[[], bytes]:
    def change(content: bytearray) -> None:
        for position in range(start, len(content) - 8, step):
            content[position] ^= 0x5A

    return lambda: _with_footer(change)


def _repeated_string(size: int, rows: int) -> Callable[[], bytes]:
    """One long string, a few hundred kilobytes of file, which is terabytes when it is written out for every row."""

    def make() -> bytes:
        buffer = io.BytesIO()
        item = pa.DictionaryArray.from_arrays(np.zeros(rows, dtype=np.int32), pa.array(["x" * size]))
        columns = {"user": pa.array(np.arange(rows) // 10), "item": item, "timestamp": pa.array(np.arange(rows))}
        pq.write_table(pa.table(columns), buffer, compression="zstd")
        return buffer.getvalue()

    return make


def _random(seed: int) -> Callable[[], bytes]:
    return lambda: np.random.default_rng(seed).integers(0, 256, 20_000, dtype=np.uint8).tobytes()


PARQUET = [
    HostileFile("parquet", "footer longer than the file", "parquet", _footer_length(2**31 - 1), one_of("parquet_unreadable")),
    HostileFile("parquet", "footer of no length", "parquet", _footer_length(0), one_of("parquet_unreadable")),
    HostileFile("parquet", "footer of the largest length", "parquet", _footer_length(2**32 - 1), one_of("parquet_unreadable")),
    HostileFile("parquet", "more rows promised", "parquet", _lying_num_rows(60), one_of("parquet_unreadable")),
    HostileFile("parquet", "fewer rows promised", "parquet", _lying_num_rows(3), one_of("parquet_unreadable")),
    HostileFile(
        "parquet", "cut in the middle", "parquet", lambda: parquet()[: len(parquet()) // 2], one_of("parquet_unreadable")
    ),
    HostileFile("parquet", "only the magic", "parquet", lambda: b"PAR1PAR1", one_of("parquet_unreadable")),
    HostileFile("parquet", "encrypted", "parquet", lambda: parquet()[:-4] + b"PARE", one_of("parquet_unreadable")),
    *(
        HostileFile(
            "parquet",
            f"damage from {start} every {step}",
            "parquet",
            _flip(start, step),
            one_of("parquet_unreadable", "any"),
        )
        for start, step in ((4, 1), (10, 7), (300, 11), (20, 97))
    ),
    HostileFile(
        "parquet",
        "a string of 64 KiB for 100,000 rows",
        "parquet",
        _repeated_string(2**16, 100_000),
        one_of("value_too_long"),
    ),
    HostileFile(
        "parquet",
        "a string of 8 MiB for a million rows",
        "parquet",
        _repeated_string(2**23, 1_000_000),
        one_of("value_too_long"),
    ),
    HostileFile(
        "parquet",
        "a million strings in a dictionary",
        "parquet",
        lambda: parquet({"user": [f"{n:0999d}" for n in range(len(ROWS))]}),
        one_of("sequences_too_short"),
    ),
]
FOREIGN = (
    [
        HostileFile("foreign", "random bytes", data_format, _random(number), one_of("any"))
        for number, data_format in enumerate(FORMATS)
    ]
    + [HostileFile("foreign", "nothing", data_format, lambda: b"", one_of("empty_file")) for data_format in FORMATS]
    + [
        HostileFile("foreign", name, "csv", lambda magic=magic: magic + b"\0" * 100, one_of("not_utf8"))  # type: ignore[misc]
        for name, magic in (
            ("a zip archive", b"PK\x03\x04"),
            ("bzip2", b"BZh9"),
            ("parquet", b"PAR1"),
            ("zstd", b"\x28\xb5\x2f\xfd"),
        )
    ]
    + [
        HostileFile(
            "foreign",
            "a pickle",
            "csv",
            lambda: b"\x80\x04\x95cposix\nsystem\n(S'touch /tmp/owned'\ntR.",
            one_of("not_utf8"),
        ),
        HostileFile(
            "foreign",
            "an ELF program",
            "text",
            lambda: b"\x7fELF\x02\x01\x01" + b"\0" * 2000,
            one_of("nul_byte", "text_too_short"),
        ),
        HostileFile("foreign", "gzip that is named csv", "csv", lambda: gzip.compress(CSV.encode()), one_of("not_utf8")),
        HostileFile("foreign", "csv", "jsonl", text(CSV), one_of("not_json")),
        HostileFile("foreign", "csv", "parquet", text(CSV), one_of("parquet_unreadable")),
        HostileFile("foreign", "csv", "inter", text(CSV), one_of("wrong_delimiter")),
        HostileFile("foreign", "jsonl", "csv", text("\n".join(JSON_LINES)), one_of("unknown_column", "any")),
        HostileFile("foreign", "NUL bytes", "csv", lambda: b"\0" * MIB, one_of("malformed_line")),
        HostileFile("foreign", "NUL bytes", "parquet", lambda: b"\0" * MIB, one_of("parquet_unreadable")),
    ]
)
