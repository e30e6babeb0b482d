"""Rows of JSON lines: one object a line. Knows nothing of what the values mean."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from farzi_core.data.delimited import LINE, RowBlock
from farzi_core.data.line_blocks import LineBlocks
from farzi_core.data.problems import Problem, ProblemLog, shorten
from farzi_core.errors import DataError

_JSON_NAMES = {dict: "an object", list: "an array", bool: "true or false", float: "a decimal number"}


def first_object(blocks: LineBlocks) -> dict[str, Any]:
    """Return the first line that holds anything, and put it back.

    Raises:
        DataError: there is none (code ``empty_file``), or it is no JSON object.
    """
    for block in blocks:
        for number, line in block.numbered_lines():
            if line.strip():
                blocks.hand_back(block.data, block.first_line)
                row = _parse_line(line, number)
                if isinstance(row, Problem):
                    raise DataError(row.reason, code=row.code, line=number)
                return row
    raise DataError("the file is empty; upload at least two sequences of three events", code="empty_file")


def read_json_rows(blocks: LineBlocks, keys: Mapping[str, str], log: ProblemLog) -> Iterator[RowBlock]:
    """Yield blocks of rows whose columns are the names in ``keys``, as strings (null where empty), and ``line``.

    Args:
        blocks: the file.
        keys: key of the objects by the name its column gets; ``user`` and ``item`` must be strings or whole numbers.
        log: gets lines that are no JSON object, lack a key, or hold another type.

    Cost: a few microseconds of Python a line; memory of a few blocks.
    """
    schema = {**dict.fromkeys(keys, pl.String), LINE: pl.Int64}
    for block in blocks:
        rows, problems = [], []
        for number, line in block.numbered_lines():
            if not line.strip():
                continue
            row = _read_row(line, number, keys)
            if isinstance(row, Problem):
                problems.append(row)
            else:
                rows.append((*row, number))
        log.extend(problems)
        yield RowBlock(pl.DataFrame(rows, schema=schema, orient="row"), len(problems))


def _parse_line(line: str, number: int) -> dict[str, Any] | Problem:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        column = str(error.colno) if isinstance(error, json.JSONDecodeError) else None
        reason = f"the line is not JSON ({error}); write one object a line"
        return Problem(reason, "not_json", number, column, shorten(line))
    if not isinstance(value, dict):
        return Problem("the line is JSON, but no object; write one object a line", "not_json", number, None, shorten(line))
    return value


def _read_row(line: str, number: int, keys: Mapping[str, str]) -> list[str | None] | Problem:
    parsed = _parse_line(line, number)
    if isinstance(parsed, Problem):
        return parsed
    row: list[str | None] = []
    for role, key in keys.items():
        if key not in parsed:
            reason = f"the object has no {key!r}; give every line the same keys"
            return Problem(reason, "missing_key", number, key, shorten(line))
        value = parsed[key]
        kinds = (str, int) if role in {"user", "item"} else (str, int, float)
        if value is not None and (isinstance(value, bool) or not isinstance(value, kinds)):
            reason = f"{key!r} is {_JSON_NAMES[type(value)]}; use a string or a {'whole ' if float not in kinds else ''}number"
            return Problem(reason, "wrong_type", number, key, shorten(json.dumps(value)))
        text = None if value is None else str(value)
        if text is not None and not _is_unicode(text):
            reason = f"{key!r} holds half of a surrogate pair, which is no character; write the character itself"
            return Problem(reason, "not_utf8", number, key, shorten(ascii(text)))
        row.append(text)
    return row


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
