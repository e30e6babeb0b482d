"""Files of lines without a header, events in time order: one "user item" a line, or one "user item item item ..." a line.

Which of the two is decided from the first lines, and said in the report. Fields stand apart by white space. Knows nothing
of tables.
"""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Literal

import numpy as np

from farzi_core.data.interaction_rows import Interactions, require_max_rows
from farzi_core.data.interactions import FoundInteractions
from farzi_core.data.line_blocks import PYTHON_BLOCK_BYTES, LineBlock, LineBlocks, OnProgress
from farzi_core.data.problems import MAX_TOKEN_CHARACTERS, Problem, ProblemLog, shorten
from farzi_core.errors import DataError

Layout = Literal["pairs", "sequences"]

_DECIDING_LINES = 10_000
_LAYOUT_TEXT = {"pairs": "one 'user item' a line", "sequences": "one 'user item item ...' a line"}


def read_sequence_lines(
    path: Path,
    log: ProblemLog,
    *,
    max_rows: int | None = None,
    on_progress: OnProgress | None = None,
) -> FoundInteractions:
    """Read a file of pairs or of whole sequences; the order of lines is the order of time.

    Raises:
        DataError: the file as a whole cannot be read.

    Cost: one pass; 8 bytes an event, the distinct ids as Python strings, and a block of 1 MiB as Python strings.
    """
    with LineBlocks(path, on_progress, block_bytes=PYTHON_BLOCK_BYTES) as blocks:
        layout, why = _decide_layout(blocks)
        log.warnings.append(f"the file is read as {_LAYOUT_TEXT[layout]}, because {why}")
        collector = _LineCollector(layout, log, max_rows)
        for block in blocks:
            collector.add(block)
    if collector.num_continued:
        log.warnings.append(f"{collector.num_continued} lines continue the sequence of a user who had a line before")
    reading = {"line_is": "line", "layout": layout}
    return FoundInteractions(collector.finish(), collector.num_rows, log.num_problems, 0, reading)


def _decide_layout(blocks: LineBlocks) -> tuple[Layout, str]:
    for block in blocks:
        lines = [fields for _, line in block.numbered_lines() if (fields := line.split())][:_DECIDING_LINES]
        if lines:
            blocks.hand_back(block.data, block.first_line)
            return _decide(lines)
    raise DataError("the file is empty; upload at least two sequences of three events", code="empty_file")


def _decide(lines: list[list[str]]) -> tuple[Layout, str]:
    users = [fields[0] for fields in lines if len(fields) == 2]
    sample = f"of the first {len(lines)} lines {len(users)} have two fields"
    if len(users) == len(lines):
        return "pairs", sample
    if 2 * len(users) >= len(lines) and len(set(users)) < len(users):
        return "pairs", f"{sample} and users repeat"
    return "sequences", sample


class _Codes(dict[str, int]):
    """The code of every string met; a new one gets the next."""

    def __missing__(self, token: str) -> int:
        self[token] = code = len(self)
        return code


class _LineCollector:
    def __init__(self, layout: Layout, log: ProblemLog, max_rows: int | None) -> None:
        self.num_rows = 0
        self.num_continued = 0
        self._layout = layout
        self._log = log
        self._max_rows = max_rows
        self._user_codes, self._item_codes = _Codes(), _Codes()
        self._users, self._items = array("i"), array("i")

    def add(self, block: LineBlock) -> None:
        if self._layout != "pairs" or not self._add_clean_pairs(block):
            self._add_line_by_line(block)
        # Every event is a row here, so that a limit on rows limits memory whatever the layout.
        require_max_rows(max(self.num_rows, len(self._items)), self._max_rows)

    def _add_clean_pairs(self, block: LineBlock) -> bool:
        """Keep a block of nothing but pairs at once; return whether it was one."""
        lines = [fields for line in block.data.decode().split("\n") if (fields := line.split())]
        if b"\0" in block.data or any(len(fields) != 2 or _find_long(fields) is not None for fields in lines):
            return False
        self._users.extend(map(self._user_codes.__getitem__, [fields[0] for fields in lines]))
        self._items.extend(map(self._item_codes.__getitem__, [fields[1] for fields in lines]))
        self.num_rows += len(lines)
        return True

    def _add_line_by_line(self, block: LineBlock) -> None:
        problems = []
        for number, line in block.numbered_lines():
            fields = line.split()
            if not fields:
                continue
            self.num_rows += 1
            problem = self._find_problem(fields, number, line)
            if problem is None:
                self._keep(fields)
            else:
                problems.append(problem)
        self._log.extend(problems)

    def finish(self) -> Interactions:
        users = np.frombuffer(self._users, dtype=np.int32) if self._users else np.zeros(0, dtype=np.int32)
        items = np.frombuffer(self._items, dtype=np.int32) if self._items else np.zeros(0, dtype=np.int32)
        return Interactions(users, items, None, tuple(self._user_codes), tuple(self._item_codes))

    def _keep(self, fields: list[str]) -> None:
        num_users = len(self._user_codes)
        user = self._user_codes[fields[0]]
        if self._layout == "pairs":
            self._users.append(user)
            self._items.append(self._item_codes[fields[1]])
            return
        self.num_continued += user < num_users
        self._users.extend([user] * (len(fields) - 1))
        self._items.extend(map(self._item_codes.__getitem__, fields[1:]))

    def _find_problem(self, fields: list[str], number: int, line: str) -> Problem | None:
        if "\0" in line:
            column = next(position for position, field in enumerate(fields, 1) if "\0" in field)
            reason = "the line holds a NUL byte, which no text has; remove it"
            return Problem(reason, "nul_byte", number, str(column), shorten(line))
        long = _find_long(fields)
        if long is not None:
            reason = (
                f"an id is longer than {MAX_TOKEN_CHARACTERS} characters; give a shorter one, and put white space between ids"
            )
            return Problem(reason, "value_too_long", number, str(long + 1), shorten(fields[long]))
        if len(fields) == 1:
            reason = "the line holds a user without an item; give at least 'user item'"
            return Problem(reason, "wrong_field_count", number, "2", shorten(line))
        if self._layout == "pairs" and len(fields) != 2:
            reason = f"the line has {len(fields)} fields where the file has 'user item' on every line; give two"
            return Problem(reason, "wrong_field_count", number, "3", shorten(line))
        return None


def _find_long(fields: list[str]) -> int | None:
    """Return the 0-based position of the first field that is no id for its length."""
    if max(map(len, fields)) <= MAX_TOKEN_CHARACTERS:
        return None
    return next(position for position, field in enumerate(fields) if len(field) > MAX_TOKEN_CHARACTERS)
