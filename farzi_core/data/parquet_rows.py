"""Rows of a parquet file. Knows nothing of what the values mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from farzi_core.data.delimited import LINE, RowBlock
from farzi_core.data.line_blocks import OnProgress
from farzi_core.errors import DataError

_ROWS_PER_BATCH = 2**17
_ID_TYPES = "strings or whole numbers"


class ParquetRows:
    """An open parquet file.

    Raises:
        DataError: the file cannot be opened; code ``parquet_unreadable``, for no bytes at all ``empty_file``.
    """

    def __init__(self, path: Path) -> None:
        if path.stat().st_size == 0:
            raise DataError("the file is empty; upload at least two sequences of three events", code="empty_file")
        try:
            self._file = pq.ParquetFile(path, page_checksum_verification=True)
            self.names: list[str] = self._file.schema_arrow.names
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _unreadable(error) from error

    @property
    def num_rows(self) -> int:
        return int(self._file.metadata.num_rows)

    def read(self, names: Mapping[str, str], on_progress: OnProgress | None) -> Iterator[RowBlock]:
        """Yield blocks of rows: ``user``, ``item`` as strings, the rest as it is, and ``line``, the 1-based row.

        Args:
            names: column of the file by the name it gets.
            on_progress: called after every block.

        Raises:
            DataError: a column has a type that cannot be used (``wrong_type``), or the file is damaged.
        """
        fields = {role: self._file.schema_arrow.field(name) for role, name in names.items()}
        for role, field in fields.items():
            _check_type(role, field)
        first_row = 1
        try:
            for batch in self._file.iter_batches(_ROWS_PER_BATCH, columns=list(names.values())):
                batch.validate(full=True)
                frame = pl.DataFrame({role: _to_series(role, batch.column(name)) for role, name in names.items()})
                rows = pl.int_range(first_row, first_row + frame.height, eager=True).alias(LINE)
                yield RowBlock(frame.with_columns(rows), 0)
                first_row += frame.height
                if on_progress is not None:
                    on_progress(first_row - 1, self.num_rows)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _unreadable(error) from error
        finally:
            self._file.close()


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
            f"column {field.name!r} has type {field.type}, but the {role} needs {allowed_text}; convert the column",
            code="wrong_type",
            column=field.name,
        )


def _to_series(role: str, column: pa.Array) -> pl.Series:
    plain = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    series = pl.Series(plain)
    return series.cast(pl.String) if role in {"user", "item", "rating"} else series


def _unreadable(error: Exception) -> DataError:
    return DataError(
        f"the file cannot be read as parquet ({error}); write it again, or declare its real format", code="parquet_unreadable"
    )
