"""Interaction tables: csv, tsv, JSON lines, parquet and RecBole's ``.inter``; one row is one event of one user.

Finds the columns, then hands block after block to the collector; a file is never in memory whole. Knows nothing of
sequences.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farzi_core.config import DataFormat
from farzi_core.data.columns import INTER_DEFAULTS, ResolvedColumns, resolve_delimited, resolve_named
from farzi_core.data.delimited import FieldLayout, read_rows
from farzi_core.data.interaction_rows import InteractionCollector, Interactions, require_max_rows
from farzi_core.data.json_rows import first_object, read_json_rows
from farzi_core.data.line_blocks import BLOCK_BYTES, PYTHON_BLOCK_BYTES, LineBlocks, OnProgress
from farzi_core.data.parquet_rows import ParquetRows
from farzi_core.data.problems import ProblemLog, shorten
from farzi_core.data.quoting import find_bad_quote, parse_record
from farzi_core.data.row_blocks import RowBlock
from farzi_core.data_options import ColumnMapping, DatasetOptions
from farzi_core.errors import DataError

_DELIMITERS = {"csv": ",", "tsv": "\t", "inter": "\t"}
_OTHER_DELIMITERS = (",", "\t", ";", "|", " ")
# RecBole's four types; a user or item is one token, a time or rating one number.
_INTER_TYPES = frozenset({"token", "token_seq", "float", "float_seq"})
_INTER_ID_TYPES = frozenset({"token"})
_INTER_NUMBER_TYPES = frozenset({"float", "token"})


@dataclass(frozen=True)
class FoundInteractions:
    """What a table held.

    Attributes:
        interactions: its good rows.
        num_rows: rows, good and bad.
        num_bad_rows: rows with a problem, or lines where a line holds several events.
        num_below_rating: good rows that the option ``min_rating`` left out.
        reading: how the file was read, JSON values.
    """

    interactions: Interactions
    num_rows: int
    num_bad_rows: int
    num_below_rating: int
    reading: dict[str, Any]


@dataclass(frozen=True)
class _Table:
    columns: ResolvedColumns
    rows: Iterator[RowBlock]
    reading: dict[str, Any]


def read_interactions(
    path: Path,
    data_format: DataFormat,
    columns: ColumnMapping | None,
    options: DatasetOptions,
    log: ProblemLog,
    *,
    max_rows: int | None = None,
    on_progress: OnProgress | None = None,
) -> FoundInteractions:
    """Read a table of interactions; bad rows go to ``log``.

    Raises:
        DataError: the file as a whole cannot be read.

    Cost: one pass; 16 bytes a good row, the distinct ids as Python strings, and a few blocks of 4 MiB.
    """
    with ExitStack() as stack:
        if data_format == "parquet":
            table = _open_parquet(path, columns, options, max_rows, on_progress)
        else:
            block_bytes = PYTHON_BLOCK_BYTES if data_format == "jsonl" else BLOCK_BYTES
            blocks = stack.enter_context(LineBlocks(path, on_progress, block_bytes=block_bytes))
            if data_format == "jsonl":
                table = _open_json_lines(blocks, columns, options, log)
            else:
                table = _open_delimited(blocks, data_format, columns, options, log)
        log.warnings.extend(table.columns.warnings)
        labels = table.columns.role_labels
        collector = InteractionCollector(labels, log, min_rating=options.min_rating, max_rows=max_rows)
        for block in table.rows:
            collector.add(block)
    if collector.num_below_rating:
        log.warnings.append(f"{collector.num_below_rating} rows rated below {options.min_rating} were left out")
    reading = {**table.reading, "columns": {role: shorten(label) for role, label in labels.items()}}
    interactions = collector.finish()
    num_bad_rows = collector.num_rows - collector.num_below_rating - len(interactions.users)
    return FoundInteractions(interactions, collector.num_rows, num_bad_rows, collector.num_below_rating, reading)


def _open_parquet(
    path: Path,
    columns: ColumnMapping | None,
    options: DatasetOptions,
    max_rows: int | None,
    on_progress: OnProgress | None,
) -> _Table:
    file = ParquetRows(path)
    require_max_rows(file.num_rows, max_rows)
    resolved = resolve_named(file.names, columns or ColumnMapping(), options)
    return _Table(resolved, file.read(resolved.role_labels, on_progress), {"line_is": "row"})


def _open_json_lines(blocks: LineBlocks, columns: ColumnMapping | None, options: DatasetOptions, log: ProblemLog) -> _Table:
    first = first_object(blocks)
    resolved = resolve_named(list(first), columns or ColumnMapping(), options)
    return _Table(resolved, read_json_rows(blocks, resolved.role_labels, first, log), {"line_is": "line"})


def _open_delimited(
    blocks: LineBlocks,
    data_format: DataFormat,
    columns: ColumnMapping | None,
    options: DatasetOptions,
    log: ProblemLog,
) -> _Table:
    delimiter = _DELIMITERS[data_format] if options.delimiter is None or data_format == "inter" else options.delimiter
    fields = _read_first_record(blocks, delimiter)
    if data_format == "inter":
        resolved = _resolve_inter(fields, columns, options)
    else:
        resolved = resolve_delimited(fields, columns, options)
    if resolved.header:
        _drop_first_record(blocks)
    layout = FieldLayout(delimiter, resolved.labels, resolved.positions)
    reading = {"line_is": "line", "header": resolved.header, "delimiter": delimiter}
    return _Table(resolved, read_rows(blocks, layout, log), reading)


def _read_first_record(blocks: LineBlocks, delimiter: str) -> list[str]:
    """Return the fields of the first line that is not blank, and put everything back."""
    for block in blocks:
        for number, line in block.numbered_lines():
            if not line:
                continue
            blocks.hand_back(block.data, block.first_line)
            fields = parse_record(line, delimiter)
            if fields is None:
                field, code, reason = find_bad_quote(line, delimiter)
                raise DataError(reason, code=code, line=number, column=str(field + 1))
            if len(fields) < 2:
                raise _wrong_delimiter(line, delimiter, number)
            return fields
    raise DataError("the file is empty; upload at least two sequences of three events", code="empty_file")


def _drop_first_record(blocks: LineBlocks) -> None:
    for block in blocks:
        for number, line in block.numbered_lines():
            if line:
                num_lines = number - block.first_line + 1
                rest = block.data.split(b"\n", num_lines)[num_lines:]
                blocks.hand_back(b"".join(rest), number + 1)
                return


def _wrong_delimiter(line: str, delimiter: str, number: int) -> DataError:
    others = [other for other in _OTHER_DELIMITERS if other != delimiter and other in line]
    hint = f"it holds {others[0]!r}: set option delimiter" if others else "a row needs at least user and item"
    return DataError(f"line {number} has no {delimiter!r} between fields; {hint}", code="wrong_delimiter", line=number)


def _resolve_inter(fields: list[str], columns: ColumnMapping | None, options: DatasetOptions) -> ResolvedColumns:
    """Resolve the typed header of RecBole, ``user_id:token``; a mapping names the columns without their types."""
    typed = [field.strip().rpartition(":") for field in fields]
    for position, (name, _, kind) in enumerate(typed):
        if not name or kind not in _INTER_TYPES:
            raise DataError(
                "the first line of an .inter file must name columns with their types, as 'user_id:token'; field "
                f"{position + 1} is {fields[position][:80]!r}, the types are {', '.join(sorted(_INTER_TYPES))}",
                code="bad_header",
                line=1,
                column=str(position + 1),
            )
    mapping = columns if columns is not None and columns.model_fields_set else INTER_DEFAULTS
    resolved = resolve_named([name for name, _, _ in typed], mapping, options)
    for role, position in resolved.positions.items():
        allowed = _INTER_ID_TYPES if role in {"user", "item"} else _INTER_NUMBER_TYPES
        name, _, kind = typed[position]
        if kind not in allowed:
            raise DataError(
                f"column {name!r} has type {kind!r}, but the {role} needs {' or '.join(sorted(allowed))}; name another column",
                code="wrong_type",
                line=1,
                column=name,
            )
    return resolved
