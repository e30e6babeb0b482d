"""Rows of delimiter-separated lines, exact to the line: csv, tsv and RecBole's ``.inter``.

Tidy lines (without quotes, or with quotes only around whole fields that hold neither quote nor delimiter), nearly always all
of them, are checked and parsed as whole blocks; the others one by one, see ``farzi_core.data.quoting``. A quoted field may
hold line breaks. Knows nothing of what the fields mean.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from farzi_core.data.line_blocks import LineBlock, LineBlocks
from farzi_core.data.problems import Problem, ProblemLog, shorten
from farzi_core.data.quoting import find_bad_quote, find_untidy_lines, parse_record
from farzi_core.data.row_blocks import LINE, RowBlock

_MAX_RECORD_LINES = 1000
_NEWLINE, _RETURN, _NUL = 10, 13, 0
_QUOTE = '"'

_Describe = Callable[[int], Problem]


@dataclass(frozen=True)
class FieldLayout:
    """What a line must look like.

    Attributes:
        delimiter: one ASCII character.
        labels: name of every field of a line, or its 1-based number.
        positions: 0-based position of every field that is wanted, by the name it gets; no two are the same.
    """

    delimiter: str
    labels: tuple[str, ...]
    positions: dict[str, int]


def read_rows(blocks: LineBlocks, layout: FieldLayout, log: ProblemLog) -> Iterator[RowBlock]:
    """Yield the wanted fields as strings (null where empty) and ``line``, the number of the line of each row.

    Lines of the wrong shape go to ``log`` instead, with line and column; blank lines are passed over.

    Cost: O(bytes) time; memory of a few blocks.
    """
    for block in blocks:
        splitter = _BlockSplitter(block, layout)
        frame, used = splitter.split(log.room)
        log.extend(splitter.problems, splitter.counts)
        if used < len(block.data):
            consumed = block.data.count(b"\n", 0, used)
            blocks.hand_back(block.data[used:], block.first_line + consumed)
        yield RowBlock(frame, splitter.counts.total())


class _BlockSplitter:
    """Splits one block; the arrays hold one entry a line."""

    def __init__(self, block: LineBlock, layout: FieldLayout) -> None:
        self.block = block
        self.layout = layout
        self.bytes = np.frombuffer(block.data, dtype=np.uint8)
        newlines = np.flatnonzero(self.bytes == _NEWLINE)
        complete = len(self.bytes) == 0 or self.bytes[-1] == _NEWLINE
        self.ends: NDArray[np.int64] = newlines if complete else np.append(newlines, len(self.bytes))
        self.starts = np.concatenate([[0], self.ends[:-1] + 1]) if len(self.ends) else np.zeros(0, dtype=np.int64)
        self.num_delimiters = self._count(ord(layout.delimiter))
        self.has_quotes = b'"' in block.data
        self.untidy = find_untidy_lines(self.bytes, self.starts, layout.delimiter)
        self.problems: list[Problem] = []
        self.counts: Counter[str] = Counter()

    def split(self, room: int) -> tuple[pl.DataFrame, int]:
        """Return rows and how many bytes were used; ``problems`` then has up to ``room`` of those that ``counts`` counts."""
        first_unused = len(self.starts)
        free = ~self._blank
        records: list[tuple[int, list[str | None]]] = []
        if self.untidy.any():
            first_unused = self._split_untidy(records, free)
        free[first_unused:] = False
        fitting = free & ~self.untidy
        nul = self._nul & fitting
        wrong = fitting & ~nul & (self.num_delimiters != len(self.layout.labels) - 1)
        self._log_lines(nul, "nul_byte", self._describe_nul, room)
        self._log_lines(wrong, "wrong_field_count", self._describe_field_count, room)
        frame = self._merge(self._parse_tidy(fitting & ~nul & ~wrong), records)
        used = len(self.bytes) if first_unused == len(self.starts) else int(self.starts[first_unused])
        return frame, used

    @cached_property
    def _blank(self) -> NDArray[np.bool_]:
        lengths = self.ends - self.starts
        only_return = (lengths == 1) & (self.bytes[np.minimum(self.starts, len(self.bytes) - 1)] == _RETURN)
        blank: NDArray[np.bool_] = (lengths == 0) | only_return
        return blank

    @cached_property
    def _nul(self) -> NDArray[np.bool_]:
        return self._count(_NUL) > 0 if b"\0" in self.block.data else np.zeros(len(self.starts), dtype=np.bool_)

    def _count(self, byte: int) -> NDArray[np.int64]:
        """Return how often ``byte`` stands in every line."""
        positions = np.flatnonzero(self.bytes == byte)
        return np.diff(np.searchsorted(positions, np.append(self.starts, len(self.bytes))))

    def _text(self, first: int, last: int | None = None) -> str:
        end = self.ends[first if last is None else last]
        return self.block.data[self.starts[first] : end].decode().removesuffix("\r")

    def _line(self, index: int) -> int:
        return self.block.first_line + int(index)

    def _split_untidy(self, records: list[tuple[int, list[str | None]]], free: NDArray[np.bool_]) -> int:
        """Parse the untidy lines into ``records``; return the first line that must wait for the next block."""
        next_free = 0
        for index in np.flatnonzero(self.untidy).tolist():
            if index < next_free:
                continue
            fields, last = self._parse_untidy(index)
            if last is None:
                return index
            free[index : last + 1] = False
            next_free = last + 1
            if fields is not None:
                wanted = [fields[position] or None for position in self.layout.positions.values()]
                records.append((self._line(index), wanted))
        return len(self.starts)

    def _parse_untidy(self, index: int) -> tuple[list[str] | None, int | None]:
        """Return fields and last line of the record at ``index``; (None, line) after a problem, (_, None) to wait."""
        text, delimiter, last = self._text(index), self.layout.delimiter, index
        fields = parse_record(text, delimiter)
        if fields is None:
            closing = self._find_closing_line(index)
            if closing is None:
                return None, None
            if closing > index:
                joined = parse_record(self._text(index, closing), delimiter)
                if joined is not None and len(joined) == len(self.layout.labels):
                    fields, last, text = joined, closing, self._text(index, closing)
        if fields is None:
            field, code, reason = find_bad_quote(text, delimiter)
            self._log(Problem(reason, code, self._line(index), self._label(field), shorten(text)))
        elif "\0" in text:
            self._log(self._describe_nul(index))
        elif len(fields) != len(self.layout.labels):
            self._log(self._field_count_problem(index, len(fields), text))
        else:
            return fields, last
        return None, last

    def _find_closing_line(self, index: int) -> int | None:
        """Return the first line with which the quotes from ``index`` on pair up; ``index`` if none, None if none *yet*."""
        num_quotes = 0
        limit = min(len(self.starts), index + _MAX_RECORD_LINES)
        for line in range(index, limit):
            num_quotes += self.block.data.count(b'"', self.starts[line], self.ends[line])
            if num_quotes % 2 == 0:
                return line
        reached_end = limit == len(self.starts) and limit < index + _MAX_RECORD_LINES
        return None if reached_end and not self.block.is_last else index

    def _parse_tidy(self, chosen: NDArray[np.bool_]) -> pl.DataFrame:
        names = sorted(self.layout.positions, key=self.layout.positions.__getitem__)
        if not chosen.any():
            return pl.DataFrame(schema={**dict.fromkeys(names, pl.String), LINE: pl.Int64})
        data = self.block.data
        if not chosen.all():
            lengths = np.append(self.starts[1:], len(self.bytes)) - self.starts
            data = self.bytes[np.repeat(chosen, lengths)].tobytes()
        frame = pl.read_csv(
            data,
            has_header=False,
            separator=self.layout.delimiter,
            quote_char=None,
            infer_schema=False,
            columns=sorted(self.layout.positions.values()),
        )
        frame.columns = names
        if self.has_quotes:
            frame = frame.with_columns(pl.col(names).str.strip_prefix(_QUOTE).str.strip_suffix(_QUOTE).replace("", None))
        lines = np.flatnonzero(chosen) + self.block.first_line
        assert frame.height == len(lines), f"{frame.height} rows came from {len(lines)} lines"
        return frame.with_columns(pl.Series(LINE, lines, dtype=pl.Int64))

    def _merge(self, tidy: pl.DataFrame, records: list[tuple[int, list[str | None]]]) -> pl.DataFrame:
        if not records:
            return tidy
        names = list(self.layout.positions)
        rows = [(*fields, line) for line, fields in records]
        untidy = pl.DataFrame(rows, schema={**dict.fromkeys(names, pl.String), LINE: pl.Int64}, orient="row")
        return pl.concat([tidy, untidy.select(tidy.columns)]).sort(LINE)

    def _label(self, field: int) -> str:
        return self.layout.labels[field] if field < len(self.layout.labels) else str(field + 1)

    def _log(self, problem: Problem) -> None:
        self.problems.append(problem)
        self.counts[problem.code] += 1

    def _log_lines(self, chosen: NDArray[np.bool_], code: str, describe: _Describe, room: int) -> None:
        indices = np.flatnonzero(chosen)
        self.counts[code] += len(indices)
        self.problems.extend(describe(int(index)) for index in indices[:room])

    def _describe_nul(self, index: int) -> Problem:
        text = self._text(index)
        field = text[: text.index("\0")].count(self.layout.delimiter) if "\0" in text else 0
        reason = "the line holds a NUL byte, which no text has; remove it"
        return Problem(reason, "nul_byte", self._line(index), self._label(field), shorten(text))

    def _describe_field_count(self, index: int) -> Problem:
        return self._field_count_problem(index, int(self.num_delimiters[index]) + 1, self._text(index))

    def _field_count_problem(self, index: int, found: int, text: str) -> Problem:
        expected = len(self.layout.labels)
        reason = f"the line has {found} fields, the first line has {expected}; give every line the same fields"
        return Problem(reason, "wrong_field_count", self._line(index), self._label(min(found, expected)), shorten(text))
