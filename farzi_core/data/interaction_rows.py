"""Checks rows of (user, item, timestamp) strings, and keeps the good ones as compact arrays.

Every table format gives frames with the columns ``line``, ``user``, ``item`` and, where they exist, ``timestamp`` and
``rating``. Knows nothing of files, sequences or splits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from farzi_core.data.delimited import LINE, RowBlock
from farzi_core.data.problems import Problem, ProblemLog, shorten
from farzi_core.data.timestamps import TimeKind, TimestampParser, parse_numbers
from farzi_core.data.token_encoding import TokenEncoder
from farzi_core.errors import DataError


@dataclass(frozen=True)
class Interactions:
    """The good rows of a file, in its order.

    Attributes:
        users: int32 (N,), codes in order of first appearance; code c is ``user_names[c]``.
        items: int32 (N,), likewise.
        times: int64 or float64 (N,); None keeps the order of the file.
        time_kind: whether times are the user's numbers or microseconds of ISO times.
    """

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    times: NDArray[np.int64] | NDArray[np.float64] | None
    user_names: tuple[str, ...]
    item_names: tuple[str, ...]
    time_kind: TimeKind | None = None


class InteractionCollector:
    """Takes frames one after the other; see the module.

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
        self._blocks: list[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.generic] | None]] = []

    def add(self, block: RowBlock) -> None:
        """Check and keep the rows of one block.

        Raises:
            DataError: the file has more rows than allowed; code ``too_many_rows``.
        """
        frame = block.frame
        self.num_rows += frame.height + block.num_bad_rows
        require_max_rows(self.num_rows, self._max_rows)
        bad = pl.repeat(value=False, n=frame.height, eager=True)
        problems: list[Problem] = []
        num_problems = 0
        times = self._timestamps.parse(frame["timestamp"]) if "timestamp" in frame.columns else None
        ratings = parse_numbers(frame["rating"].str.strip_chars()) if self._min_rating is not None else None
        for mask, role, code, reason in self._find_faults(frame, times, ratings):
            at = mask.arg_true()
            num_problems += len(at)
            rows = frame[at.head(self._log.room)]
            problems += [
                Problem(reason, code, line, self._labels[role], None if value is None else shorten(str(value)))
                for line, value in zip(rows[LINE], rows[role], strict=True)
            ]
            bad = bad | mask
        self._log.extend(problems, num_problems)
        self._keep(frame, times, ratings, ~bad)

    def finish(self) -> Interactions:
        """Return everything kept so far.

        Cost: one copy of the arrays.
        """
        users, items, times = zip(*self._blocks, strict=True) if self._blocks else ((), (), ())
        has_times = bool(times) and times[0] is not None
        self._blocks = []
        return Interactions(
            _concatenate(users),
            _concatenate(items),
            np.concatenate(times) if has_times else None,
            self._users.tokens,
            self._items.tokens,
            self._timestamps.kind,
        )

    def _find_faults(
        self, frame: pl.DataFrame, times: pl.Series | None, ratings: pl.Series | None
    ) -> list[tuple[pl.Series, str, str, str]]:
        faults = []
        for role in ("user", "item"):
            column = frame[role]
            empty = column.is_null() | (column.str.strip_chars() == "").fill_null(value=True)
            nul = column.str.contains("\0", literal=True).fill_null(value=False)
            faults.append((empty, role, "empty_value", f"the {role} is empty; every row needs one"))
            faults.append((nul, role, "nul_byte", f"the {role} holds a NUL character; remove it"))
        if times is not None:
            reason = (
                "this is not an ISO 8601 time as in the first row"
                if self._timestamps.kind == "iso8601"
                else "this is not a number; timestamps are finite numbers, or ISO 8601 times in every row"
            )
            faults.append((times.is_null(), "timestamp", "bad_timestamp", reason))
        if ratings is not None:
            reason = "this is not a number; with min_rating every row needs a finite rating"
            faults.append((ratings.is_null(), "rating", "bad_rating", reason))
        return [fault for fault in faults if fault[0].any()]

    def _keep(self, frame: pl.DataFrame, times: pl.Series | None, ratings: pl.Series | None, good: pl.Series) -> None:
        if ratings is not None:
            liked = (ratings >= self._min_rating).fill_null(value=False)
            self.num_below_rating += int((good & ~liked).sum())
            good = good & liked
        if not good.any():
            return
        kept = frame if good.all() else frame.filter(good)
        kept_times = None if times is None else times.filter(good).to_numpy()
        self._blocks.append((self._users.encode(kept["user"]), self._items.encode(kept["item"]), kept_times))


def require_max_rows(num_rows: int, max_rows: int | None) -> None:
    """Raise DataError, code ``too_many_rows``, when a file has more rows than allowed."""
    if max_rows is not None and num_rows > max_rows:
        raise DataError(
            f"the file has more than the {max_rows} rows that are allowed; upload a part of it", code="too_many_rows"
        )


def _concatenate(blocks: tuple[NDArray[np.int32], ...]) -> NDArray[np.int32]:
    return np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.int32)
