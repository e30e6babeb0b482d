"""Rows of JSON lines: one object a line.

Blocks in which every line is an object with the types of the first one are parsed whole, by Arrow; the others line by line,
which finds what is wrong and takes ten times as long. Both ways read the same rows. Knows nothing of what the values mean.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
from numpy.typing import NDArray

from farzi_core.data.line_blocks import LineBlock, LineBlocks
from farzi_core.data.problems import Problem, ProblemLog, shorten
from farzi_core.data.row_blocks import LINE, RowBlock
from farzi_core.errors import DataError

_JSON_NAMES = {dict: "an object", list: "an array", bool: "true or false", float: "a decimal number"}
_ARROW_TYPES = {str: pa.string(), int: pa.int64(), float: pa.float64()}
_IDS = ("user", "item")
# Whole numbers up to here are the same as integers and as float64.
_EXACT_FLOAT = 2.0**53
_NEWLINE, _RETURN = 10, 13
# Python's parser goes some 1,000 levels deep, Arrow's any number: what one refuses the other must not take.
_MAX_BRACKETS = 500
Bytes = NDArray[np.uint8]


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


def read_json_rows(
    blocks: LineBlocks, keys: Mapping[str, str], first: Mapping[str, Any], log: ProblemLog
) -> Iterator[RowBlock]:
    """Yield blocks of rows, see :class:`RowBlock`, whose columns are the names in ``keys``.

    Args:
        blocks: the file.
        keys: key of the objects by the name its column gets; ``user`` and ``item`` must be strings or whole numbers.
        first: the first object of the file, whose types most others will have.
        log: gets lines that are no JSON object, lack a key, or hold another type.

    Cost: a microsecond a line, ten where a block has lines that differ; memory of a few blocks.
    """
    schema = _schema_of(first, keys)
    for block in blocks:
        rows = None if schema is None else _read_whole(block, keys, schema)
        yield _read_line_by_line(block, keys, log) if rows is None else rows


def _schema_of(first: Mapping[str, Any], keys: Mapping[str, str]) -> pa.Schema | None:
    """Return the types that most lines will have, or None where the first one has a type that is refused."""
    fields = []
    for role, key in keys.items():
        kind = type(first[key])
        if kind not in _ARROW_TYPES or (role in _IDS and kind is float):
            return None
        fields.append((key, _ARROW_TYPES[kind]))
    return pa.schema(fields)


def _read_whole(block: LineBlock, keys: Mapping[str, str], schema: pa.Schema) -> RowBlock | None:
    """Return the rows of a block of which every line can be taken as it is, or None."""
    if not block.data or b"Inf" in block.data:  # Arrow takes 'Inf' for a number
        return None
    lines = _object_lines(block)
    if lines is None:
        return None
    try:
        table = pj.read_json(
            pa.BufferReader(block.data),
            read_options=pj.ReadOptions(use_threads=False, block_size=len(block.data) + 1),
            parse_options=pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
        )
    except pa.ArrowInvalid:
        return None
    # As many objects as lines that begin with '{' and end with '}': neither of two objects on a line nor of one on two.
    if table.num_rows != len(lines) or any(column.null_count for column in table.columns):
        return None
    columns = {role: table.column(key).combine_chunks() for role, key in keys.items()}
    numbers = [column for column in columns.values() if pa.types.is_floating(column.type)]
    if any(not pc.all(pc.less(pc.abs(column), _EXACT_FLOAT)).as_py() for column in numbers):
        return None
    frame = pl.DataFrame({role: pl.Series(column) for role, column in columns.items() if role not in _IDS})
    arrays = {role: column for role, column in columns.items() if role in _IDS}
    return RowBlock(frame.with_columns(pl.Series(LINE, lines, dtype=pl.Int64)), 0, arrays)


def _object_lines(block: LineBlock) -> NDArray[np.int64] | None:
    """Return the numbers of the lines that are not empty, or None where one is not framed by braces, or may be deep."""
    content = np.frombuffer(block.data, dtype=np.uint8)
    ends = np.flatnonzero(content == _NEWLINE)
    if not block.data.endswith(b"\n"):
        ends = np.append(ends, len(content))
    starts = np.concatenate([[0], ends[:-1] + 1])[: len(ends)]
    ends = ends - ((ends > starts) & (content[ends - 1] == _RETURN))
    filled = np.flatnonzero(ends > starts)
    starts, ends = starts[filled], ends[filled]
    framed = (content[starts] == ord("{")) & (content[ends - 1] == ord("}"))
    if not len(starts) or not framed.all() or _count_brackets(content, starts).max() > _MAX_BRACKETS:
        return None
    return filled + block.first_line


def _count_brackets(content: Bytes, starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many objects and arrays every line opens, and so how deep it can be at most."""
    opens = (content == ord("{")) | (content == ord("["))
    counts: NDArray[np.int64] = np.add.reduceat(opens, starts, dtype=np.int64)
    return counts


def _read_line_by_line(block: LineBlock, keys: Mapping[str, str], log: ProblemLog) -> RowBlock:
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
    schema = {**dict.fromkeys(keys, pl.String), LINE: pl.Int64}
    return RowBlock(pl.DataFrame(rows, schema=schema, orient="row"), len(problems))


def _parse_line(line: str, number: int) -> dict[str, Any] | Problem:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        column = str(error.colno) if isinstance(error, json.JSONDecodeError) else None
        reason = f"the line is not JSON ({_what_is_wrong(error)}); write one object a line"
        return Problem(reason, "not_json", number, column, shorten(line))
    if not isinstance(value, dict):
        return Problem("the line is JSON, but no object; write one object a line", "not_json", number, None, shorten(line))
    return value


def _what_is_wrong(error: ValueError | RecursionError) -> str:
    """Return it without the places in a text of one line that the parser names, and without advice on Python."""
    if isinstance(error, json.JSONDecodeError):
        return error.msg
    return "it is nested too deeply" if isinstance(error, RecursionError) else "a number has too many digits"


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
        kinds = (str, int) if role in _IDS else (str, int, float)
        if value is not None and (isinstance(value, bool) or not isinstance(value, kinds)):
            reason = f"{key!r} is {_JSON_NAMES[type(value)]}; use a string or a {'whole ' if float not in kinds else ''}number"
            return Problem(reason, "wrong_type", number, key, _show(value))
        text = None if value is None else str(value)
        if text is not None and not _is_unicode(text):
            reason = f"{key!r} holds half of a surrogate pair, which is no character; write the character itself"
            return Problem(reason, "not_utf8", number, key, shorten(ascii(text)))
        row.append(text)
    return row


def _show(value: Any) -> str:
    try:
        return shorten(json.dumps(value))
    except RecursionError:
        return shorten(f"{_JSON_NAMES[type(value)]}, nested too deeply to be shown")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
