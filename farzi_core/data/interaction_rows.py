"""Checks rows of (user, item, timestamp), and keeps the good ones as compact arrays.

Every table format gives blocks of rows with ``user``, ``item`` and, where they exist, ``timestamp`` and ``rating``. Users and
items are checked once for each distinct one of a block. Knows nothing of files, sequences or splits.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import cast

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from farzi_core.data.problems import MAX_TOKEN_CHARACTERS, Problem, ProblemLog, shorten
from farzi_core.data.row_blocks import LINE, RowBlock
from farzi_core.data.timestamps import TimeKind, TimestampParser, parse_numbers
from farzi_core.data.token_encoding import Codes, TokenEncoder, encode_strings
from farzi_core.errors import DataError

Times = NDArray[np.int64] | NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Interactions:
    """The good rows of a file, in its order.

    Attributes:
        users: int32 (N,), codes in order of first appearance; code c is ``user_names[c]``.
        items: int32 (N,), likewise.
        times: int64 or float64 (N,); None keeps the order of the file.
        time_kind: whether times are the user's numbers or microseconds of ISO times.
    """

    users: Codes
    items: Codes
    times: Times | None
    user_names: tuple[str, ...]
    item_names: tuple[str, ...]
    time_kind: TimeKind | None = None


@dataclass(frozen=True)
class _Fault:
    """Rows of a block that have one thing wrong, and the column of values to show."""

    rows: Mask
    role: str
    code: str
    reason: str


@dataclass(frozen=True)
class _Ids:
    """A column of users or items: code of every row, and what each code stands for."""

    codes: Codes
    distinct: pa.Array

    @property
    def strings(self) -> pl.Series:
        return pl.Series(self.distinct, dtype=pl.String)

    def show(self, rows: NDArray[np.int64]) -> list[str | None]:
        """Return the values of some rows for a report; each distinct one, which may be megabytes, is looked at once."""
        codes = self.codes[rows].tolist()
        shown: dict[int, str | None] = {code: shorten(self.distinct[code].as_py()) for code in set(codes) - {-1}}
        return [shown.get(code) for code in codes]

    def rows_of(self, faulty: pl.Series) -> Mask:
        """Return which rows hold a distinct value that is marked."""
        marks = faulty.fill_null(value=False).to_numpy()
        return np.append(marks, False)[self.codes] if marks.any() else np.zeros(len(self.codes), dtype=np.bool_)


class InteractionCollector:
    """Takes blocks one after the other; see the module.

    Args:
        labels: how the user calls each role, for reports: ``{"user": "userId", ...}``.
        log: where bad rows go.
        min_rating: rows rated below are left out; None: ratings are not read.
        max_rows: most rows a file may have.
    """

    def __init__(self, labels: dict[str, str], log: ProblemLog, *, min_rating: float | None, max_rows: int | None) -> None:
        self.num_rows = 0
        self.num_below_rating = 0
        self._labels = labels
        self._log = log
        self._min_rating = min_rating
        self._max_rows = max_rows
        self._users, self._items = TokenEncoder(), TokenEncoder()
        self._timestamps = TimestampParser()
        self._times: list[Times] = []

    def add(self, block: RowBlock) -> None:
        """Check and keep the rows of one block.

        Raises:
            DataError: the file has more rows than allowed; code ``too_many_rows``.
        """
        frame = block.frame
        self.num_rows += frame.height + block.num_bad_rows
        require_max_rows(self.num_rows, self._max_rows)
        users, items = (_Ids(*encode_strings(block.ids(role))) for role in ("user", "item"))
        times = self._timestamps.parse(frame["timestamp"]) if "timestamp" in frame.columns else None
        ratings = parse_numbers(frame["rating"].cast(pl.String).str.strip_chars()) if self._min_rating is not None else None
        faults = [*_find_id_faults("user", users), *_find_id_faults("item", items), *self._find_value_faults(times, ratings)]
        bad = np.zeros(frame.height, dtype=np.bool_)
        problems: list[Problem] = []
        counts: Counter[str] = Counter()
        for fault in faults:
            counts[fault.code] += int(np.count_nonzero(fault.rows))
            problems += self._describe(fault, frame, {"user": users, "item": items})
            bad |= fault.rows
        self._log.extend(problems, counts)
        self._keep(users, items, times, ratings, ~bad)

    def finish(self) -> Interactions:
        """Return everything kept so far.

        Cost: one copy of the arrays.
        """
        users, user_names = self._users.finish()
        items, item_names = self._items.finish()
        times = cast(Times, np.concatenate(self._times)) if self._times else None
        self._times = []
        return Interactions(users, items, times, user_names, item_names, self._timestamps.kind)

    def _find_value_faults(self, times: pl.Series | None, ratings: pl.Series | None) -> list[_Fault]:
        faults = []
        if times is not None and times.null_count():
            reason = (
                "this is not an ISO 8601 time of the years 1 to 9999, as others in this column are"
                if self._timestamps.kind == "iso8601"
                else "this is not a number; timestamps are finite numbers, or ISO 8601 times in every row"
            )
            faults.append(_Fault(times.is_null().to_numpy(), "timestamp", "bad_timestamp", reason))
        if ratings is not None and ratings.null_count():
            reason = "this is not a number; with min_rating every row needs a finite rating"
            faults.append(_Fault(ratings.is_null().to_numpy(), "rating", "bad_rating", reason))
        return faults

    def _describe(self, fault: _Fault, frame: pl.DataFrame, ids: dict[str, _Ids]) -> list[Problem]:
        rows = np.flatnonzero(fault.rows)[: self._log.room]
        if fault.role in ids:
            values = ids[fault.role].show(rows)
        else:
            # A moment that is out of range cannot be shown as one.
            found = frame[fault.role].gather(rows).to_physical().to_list()
            values = [None if value is None else shorten(str(value)) for value in found]
        label = self._labels[fault.role]
        return [
            Problem(fault.reason, fault.code, line, label, value)
            for line, value in zip(frame[LINE].gather(rows), values, strict=True)
        ]

    def _keep(self, users: _Ids, items: _Ids, times: pl.Series | None, ratings: pl.Series | None, good: Mask) -> None:
        if ratings is not None:
            liked = (ratings >= self._min_rating).fill_null(value=False).to_numpy()
            self.num_below_rating += int(np.count_nonzero(good & ~liked))
            good &= liked
        if not good.any():
            return
        chosen = slice(None) if good.all() else good
        self._users.append(users.codes[chosen], users.distinct)
        self._items.append(items.codes[chosen], items.distinct)
        if times is not None:
            self._times.append(times.to_numpy()[chosen])


def require_max_rows(num_rows: int, max_rows: int | None) -> None:
    """Raise DataError, code ``too_many_rows``, when a file has more rows than allowed."""
    if max_rows is not None and num_rows > max_rows:
        raise DataError(
            f"the file has more than the {max_rows} rows that are allowed; upload a part of it", code="too_many_rows"
        )


def _find_id_faults(role: str, ids: _Ids) -> list[_Fault]:
    strings = ids.strings
    blank = ids.rows_of(strings.is_null() | (strings.str.strip_chars() == "")) | (ids.codes < 0)
    nul = ids.rows_of(strings.str.contains("\0", literal=True))
    long = ids.rows_of(strings.str.len_chars() > MAX_TOKEN_CHARACTERS)
    faults = [
        _Fault(blank, role, "empty_value", f"the {role} is empty; every row needs one"),
        _Fault(nul, role, "nul_byte", f"the {role} holds a NUL character; remove it"),
        _Fault(long, role, "value_too_long", f"the {role} is longer than {MAX_TOKEN_CHARACTERS} characters; give a shorter id"),
    ]
    return [fault for fault in faults if fault.rows.any()]
