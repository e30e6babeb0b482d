"""Rows of a parquet file. Knows nothing of what the values mean.

What the file says of itself is checked: the footer's number of rows against those that come, strings and dictionaries by Arrow.
Strings stay in dictionaries, so that a long one that is repeated a million times takes its bytes once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from farzi_core.data.line_blocks import OnProgress
from farzi_core.data.problems import escape
from farzi_core.data.row_blocks import LINE, RowBlock
from farzi_core.errors import DataError

_ROWS_PER_BATCH = 2**17
_ID_TYPES = "strings or whole numbers"
_IDS = ("user", "item")
_MAX_CAUSE_CHARACTERS = 200


class ParquetRows:
    """A parquet file.

    Raises:
        DataError: the file cannot be opened; code ``parquet_unreadable``, for no bytes at all ``empty_file``.
    """

    def __init__(self, path: Path) -> None:
        if path.stat().st_size == 0:
            raise DataError("the file is empty; upload at least two sequences of three events", code="empty_file")
        self._path = path
        with _translated(), path.open("rb") as content:
            file = pq.ParquetFile(content)
            self._schema: pa.Schema = file.schema_arrow
            self.names: list[str] = self._schema.names
            self.num_rows = int(file.metadata.num_rows)

    def read(self, names: Mapping[str, str], on_progress: OnProgress | None) -> Iterator[RowBlock]:
        """Yield blocks of rows, see :class:`RowBlock`; the line is the 1-based row.

        Args:
            names: column of the file by the name it gets.
            on_progress: called after every block.

        Raises:
            DataError: a column has a type that cannot be used (``wrong_type``), or the file is damaged.
        """
        for role, name in names.items():
            _check_type(role, self._schema.field(name))
        num_read = 0
        ids = [name for role, name in names.items() if role in _IDS]
        with _translated(), self._path.open("rb") as content:
            # A file that is open already has no path that an error could show.
            file = pq.ParquetFile(content, page_checksum_verification=True, read_dictionary=ids)
            for batch in file.iter_batches(_ROWS_PER_BATCH, columns=list(names.values())):
                batch.validate(full=True)
                yield _make_block(batch, names, num_read + 1)
                num_read += batch.num_rows
                if on_progress is not None:
                    on_progress(num_read, max(num_read, self.num_rows))
        if num_read != self.num_rows:
            raise DataError(
                f"the file's footer promises {self.num_rows} rows, but {num_read} are there; write it again",
                code="parquet_unreadable",
            )


def _check_type(role: str, field: pa.Field) -> None:
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    is_number = pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    is_time = pa.types.is_timestamp(kind) or pa.types.is_date(kind)
    allowed = {
        "timestamp": (is_number or is_time, f"{_ID_TYPES}, decimal numbers, dates or timestamps"),
        "rating": (is_number, f"{_ID_TYPES} or decimal numbers"),
    }
    also, allowed_text = allowed.get(role, (False, _ID_TYPES))
    if not (is_text or pa.types.is_integer(kind) or also):
        raise DataError(
            f"column {field.name[:80]!r} has type {escape(str(field.type), 80)}, but the {role} needs {allowed_text}; "
            "convert the column",
            code="wrong_type",
            column=field.name,
        )


def _make_block(batch: pa.RecordBatch, names: Mapping[str, str], first_row: int) -> RowBlock:
    columns = {role: batch.column(name) for role, name in names.items()}
    arrays = {role: _plain_strings(columns[role]) for role in _IDS}
    values = {role: _to_series(column) for role, column in columns.items() if role not in _IDS}
    rows = pl.int_range(first_row, first_row + batch.num_rows, eager=True)
    return RowBlock(pl.DataFrame({**values, LINE: rows}), 0, arrays)


def _plain_strings(column: pa.Array) -> pa.Array:
    """Arrow hashes no views."""
    return column.cast(pa.large_string()) if pa.types.is_string_view(column.type) else column


def _to_series(column: pa.Array) -> pl.Series:
    plain = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    if pa.types.is_decimal(plain.type) or pa.types.is_float16(plain.type):
        plain = plain.cast(pa.float64())
    return pl.Series(plain)


@contextmanager
def _translated() -> Iterator[None]:
    """Errors of Arrow are the file's fault, but for too little memory, which is its own kind of error."""
    try:
        yield
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        cause = escape(str(error).partition("\n")[0], _MAX_CAUSE_CHARACTERS)
        raise DataError(
            f"the file cannot be read as parquet ({cause}); write it again, or declare its real format",
            code="parquet_unreadable",
        ) from error
