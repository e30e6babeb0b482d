"""Times as numbers that sort: whole numbers, floats, or ISO 8601. Knows nothing of files.

The unit of a number is the user's own; ISO times, of the years 1 to 9999, become microseconds since 1970 UTC, and count as
UTC where they name no zone.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

import polars as pl

TimeKind = Literal["number", "iso8601"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_MICROSECOND = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_LAST_MICROSECOND = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_MICROSECONDS = {"us": 1, "ms": 1_000, "day": 86_400_000_000}


class TimestampParser:
    """Parses columns of one file; the first value that can be read decides whether it holds numbers or ISO times."""

    def __init__(self) -> None:
        self.kind: TimeKind | None = None

    def parse(self, column: pl.Series) -> pl.Series:
        """Return Int64 or Float64, null where a value is not a time of the file's kind.

        Args:
            column: strings, or whatever numeric or temporal type a parquet column has.
        """
        if column.dtype == pl.String:
            return self._parse_strings(column.str.strip_chars())
        if isinstance(column.dtype, pl.Date | pl.Datetime):
            self.kind = "iso8601"
            return _to_microseconds(column, column.dtype)
        if self.kind == "iso8601":
            return pl.repeat(None, column.len(), dtype=pl.Int64, eager=True)
        self.kind = "number"
        if column.dtype.is_integer():
            return column.cast(pl.Int64, strict=False)
        return _finite(column.cast(pl.Float64, strict=False))

    def _parse_strings(self, column: pl.Series) -> pl.Series:
        if self.kind is None:
            self.kind = _kind_of(column)
        return parse_numbers(column) if self.kind == "number" else _parse_iso(column)


def parse_numbers(column: pl.Series) -> pl.Series:
    """Return strings as Int64 where all that are numbers are whole and fit, else Float64; null where not a finite number."""
    whole = column.cast(pl.Int64, strict=False)
    if whole.null_count() == column.null_count():
        return whole
    numbers = _finite(column.cast(pl.Float64, strict=False))
    return whole if numbers.null_count() == whole.null_count() else numbers


def is_timestamp(value: str) -> bool:
    """Return whether one value can be read as a time."""
    column = pl.Series([value], dtype=pl.String).str.strip_chars()
    return parse_numbers(column).null_count() == 0 or _parse_iso(column).null_count() == 0


def _kind_of(column: pl.Series) -> TimeKind | None:
    numbers = parse_numbers(column).is_not_null()
    first_number = int(numbers.cast(pl.Int8).arg_max() or 0) if numbers.any() else column.len()
    if _parse_iso(column.head(first_number)).is_not_null().any():
        return "iso8601"
    return "number" if first_number < column.len() else None


def _finite(column: pl.Series) -> pl.Series:
    return column.set(~column.is_finite().fill_null(value=False), None)


def _to_microseconds(column: pl.Series, kind: pl.Date | pl.Datetime) -> pl.Series:
    """Return dates or moments as Int64, null outside the years 1 to 9999."""
    units = column.to_physical().cast(pl.Int64)
    if isinstance(kind, pl.Datetime) and kind.time_unit == "ns":
        return units // 1_000  # an Int64 of nanoseconds is inside
    factor = _MICROSECONDS[kind.time_unit] if isinstance(kind, pl.Datetime) else _MICROSECONDS["day"]
    return _between(units, -(-_FIRST_MICROSECOND // factor), _LAST_MICROSECOND // factor) * factor


def _between(column: pl.Series, low: int, high: int) -> pl.Series:
    return column.set(~column.is_between(low, high).fill_null(value=True), None)


def _parse_iso(column: pl.Series) -> pl.Series:
    """Parse the commonest form as a column, and what is left one by one."""
    common = column.str.replace(r"[zZ]$", "").str.replace(r"^(\d{4}-\d{2}-\d{2}) ", "${1}T")
    times = common.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", strict=False, time_unit="us").cast(pl.Int64)
    left = (times.is_null() & column.is_not_null()).arg_true()
    if len(left):
        values = [_parse_one_iso(value) for value in column.gather(left)]
        times = times.scatter(left, pl.Series(values, dtype=pl.Int64))
    return _between(times, _FIRST_MICROSECOND, _LAST_MICROSECOND)


def _parse_one_iso(value: str) -> int | None:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    since = aware - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
