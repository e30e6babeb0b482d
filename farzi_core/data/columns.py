"""Which field of a table is the user, the item, the timestamp and the rating.

Roles that a mapping names must exist. Where nothing is mapped, names are looked for, and a delimited file without a header
is read by the number of its columns. Knows nothing of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from farzi_core.data.timestamps import is_timestamp
from farzi_core.data_options import ColumnMapping, ColumnName, DatasetOptions
from farzi_core.errors import DataError

Roles = dict[str, ColumnName]

_GUESSES = {
    2: ("user", "item"),
    3: ("user", "item", "timestamp"),
    4: ("user", "item", "rating", "timestamp"),
}
INTER_DEFAULTS = ColumnMapping(user="user_id", item="item_id")
MAX_COLUMNS = 10_000
"""Most columns of a table; as many as a mapping can count to."""


@dataclass(frozen=True)
class ResolvedColumns:
    """Where each role is.

    Attributes:
        positions: 0-based position by role; no two are the same.
        labels: name of every field, or its 1-based number.
        header: whether the first line is the header.
        warnings: what was decided and could be a surprise.
    """

    positions: dict[str, int]
    labels: tuple[str, ...]
    header: bool
    warnings: tuple[str, ...] = ()

    @property
    def role_labels(self) -> dict[str, str]:
        return {role: self.labels[position] for role, position in self.positions.items()}


def resolve_named(names: Sequence[str], columns: ColumnMapping, options: DatasetOptions) -> ResolvedColumns:
    """Resolve the columns of a table that names them.

    Raises:
        DataError: a role is mapped to a column that is not there, or two roles to one; code ``unknown_column``.
    """
    _require_max_columns(names)
    positions = {}
    for role, column in _wanted_roles(columns, options, names).items():
        positions[role] = _find(names, role, column)
    return _finish(positions, tuple(names), header=True)


def resolve_delimited(fields: Sequence[str], columns: ColumnMapping | None, options: DatasetOptions) -> ResolvedColumns:
    """Resolve the columns of csv or tsv from the fields of the first line.

    Raises:
        DataError: as for :func:`resolve_named`, or the columns of a file without a header cannot be guessed.
    """
    _require_max_columns(fields)
    mapping = columns or ColumnMapping()
    names = [field.strip() for field in fields]
    header = options.header
    if header is None:
        header = _looks_like_header(names, mapping)
    if header:
        return resolve_named(names, mapping, options)
    if not mapping.model_fields_set:
        return _guess(names, options)
    by_name = [column for column in _wanted_roles(mapping, options, ()).values() if isinstance(column, str)]
    if by_name:
        missing = next((column for column in by_name if column not in names), by_name[0])
        why = "the first line does not name it" if missing not in names else "option header says that the first line is a row"
        raise _unknown(missing, names, why)
    positions = {role: _find(names, role, column) for role, column in _wanted_roles(mapping, options, ()).items()}
    return _finish(positions, _numbers(names), header=False)


def _wanted_roles(columns: ColumnMapping, options: DatasetOptions, names: Sequence[str]) -> Roles:
    roles: Roles = {"user": columns.user, "item": columns.item}
    asked_for_time = "timestamp" in columns.model_fields_set
    if columns.timestamp is not None and (asked_for_time or columns.timestamp in names):
        roles["timestamp"] = columns.timestamp
    if options.min_rating is not None:
        if columns.rating is None and "rating" not in names:
            raise DataError("min_rating needs a column of ratings; name it in columns.rating", code="unknown_column")
        roles["rating"] = "rating" if columns.rating is None else columns.rating
    return roles


def _looks_like_header(names: Sequence[str], columns: ColumnMapping) -> bool:
    wanted = [column for column in (columns.user, columns.item) if isinstance(column, str)]
    if "timestamp" in columns.model_fields_set and isinstance(columns.timestamp, str):
        wanted.append(columns.timestamp)
    return bool(wanted) and all(name in names for name in wanted)


def _guess(names: Sequence[str], options: DatasetOptions) -> ResolvedColumns:
    roles = _GUESSES.get(len(names))
    if roles is None:
        raise DataError(
            f"the first line has {len(names)} fields ({_quote(names)}) and no columns 'user' and 'item'; "
            "say in columns which fields hold user, item and timestamp, by name or by 0-based position",
            code="unknown_column",
            line=1,
        )
    positions = {role: position for position, role in enumerate(roles)}
    if "timestamp" in positions and not is_timestamp(names[positions["timestamp"]]):
        missing = next((role for role in ("user", "item") if role not in names), None)
        why = f"and {names[positions['timestamp']]!r} is no timestamp, so this is no row either"
        if missing is None:
            why = "option header says that the first line is a row, " + why
        raise _unknown(missing or "user", names, why)
    if options.min_rating is None:
        positions.pop("rating", None)
    elif "rating" not in positions:
        raise DataError("min_rating needs a column of ratings; name it in columns.rating", code="unknown_column")
    warning = (
        f"the first line names no columns 'user' and 'item', so it is read as a row, and every row as {', '.join(roles)}; "
        "set columns or option header if that is wrong"
    )
    return _finish(positions, _numbers(names), header=False, warnings=(warning,))


def _find(names: Sequence[str], role: str, column: ColumnName) -> int:
    if isinstance(column, int):
        if column >= len(names):
            raise DataError(
                f"columns.{role} is position {column}, but the first line has {len(names)} fields; "
                f"positions are 0 to {len(names) - 1}",
                code="unknown_column",
            )
        return column
    if column not in names:
        raise _unknown(column, names, f"columns.{role} needs it")
    if names.count(column) > 1:
        raise DataError(f"the first line names column {column!r} twice; rename one", code="unknown_column", line=1)
    return names.index(column)


def _finish(
    positions: dict[str, int], labels: tuple[str, ...], *, header: bool, warnings: tuple[str, ...] = ()
) -> ResolvedColumns:
    for role, position in positions.items():
        other = next(name for name, used in positions.items() if used == position)
        if other != role:
            raise DataError(
                f"columns.{other} and columns.{role} are both column {labels[position]!r}; name two different columns",
                code="unknown_column",
            )
    if "timestamp" not in positions:
        warnings = (*warnings, "there is no column of timestamps, so events keep the order of the file")
    return ResolvedColumns(positions, labels, header, warnings)


def _require_max_columns(names: Sequence[str]) -> None:
    if len(names) > MAX_COLUMNS:
        raise DataError(
            f"the first row has {len(names)} columns, more than the {MAX_COLUMNS} that are allowed; upload the columns of "
            "user, item and timestamp",
            code="too_many_columns",
            line=1,
        )


def _unknown(column: str, names: Sequence[str], why: str) -> DataError:
    return DataError(
        f"there is no column {column!r} ({why}); the columns there are: {_quote(names)}; name yours in columns",
        code="unknown_column",
    )


def _numbers(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(number) for number in range(1, len(names) + 1))


def _quote(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name[:80]) for name in names[:20])
    return f"{shown}, and {len(names) - 20} more" if len(names) > 20 else shown
