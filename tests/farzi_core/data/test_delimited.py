"""Quotes, line breaks inside fields, and exact line numbers, whatever the blocks are."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farzi_core.data import line_blocks
from farzi_core.data.delimited import FieldLayout, read_rows
from farzi_core.data.line_blocks import LineBlocks
from farzi_core.data.problems import ProblemLog
from farzi_core.errors import DataError
from tests.farzi_core.data.uploads import read_bytes, sequences_of

identifiers = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(str.strip)

LINES = ["a,b", '"a","b"', "", "a", 'a,"b', 'a,b,"c"', '"a"x,b', "a\0,b", '"a,b",c', 'a,"b""c"', 'a,b"', '""",b', '"","b"\r']


def read_all(path: Path, block_bytes: int, delimiter: str = ",") -> tuple[list[tuple[object, ...]], ProblemLog]:
    log = ProblemLog()
    layout = FieldLayout(delimiter, ("a", "b"), {"a": 0, "b": 1})
    with LineBlocks(path, block_bytes=block_bytes) as blocks:
        rows = [row for block in read_rows(blocks, layout, log) for row in block.frame.select("a", "b", "line").rows()]
    return rows, log


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(identifiers, identifiers), min_size=1, max_size=8),
    dialect=st.sampled_from(["excel", "excel-tab", "unix"]),
    block_bytes=st.integers(1, 60),
)
def test_what_the_csv_module_writes_comes_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], dialect: str, block_bytes: int
) -> None:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, dialect=dialect).writerows(rows)
    path = tmp_path_factory.mktemp("csv") / "f"
    path.write_bytes(buffer.getvalue().encode())
    read, log = read_all(path, block_bytes, "\t" if dialect == "excel-tab" else ",")
    assert log.problems == []
    assert [(a, b) for a, b, _ in read] == rows


@settings(deadline=None)
@given(lines=st.lists(st.sampled_from(LINES), max_size=12))
def test_blocks_never_change_rows_or_lines(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    path = tmp_path_factory.mktemp("csv") / "f"
    path.write_text("\n".join(lines))
    whole, whole_log = read_all(path, 10_000)
    for block_bytes in (1, 7):
        rows, log = read_all(path, block_bytes)
        assert rows == whole
        assert log.problems == whole_log.problems
        assert log.num_problems == whole_log.num_problems


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ('"a","b"', ("a", "b")),
        ('"a","b"\r', ("a", "b")),
        ('"",b', (None, "b")),
        ('"a,""x""",b', ('a,"x"', "b")),
        ('a"b,c', ('a"b', "c")),
        ('"a","b""', None),
        ('"a,b"', None),
        ('"a,b",c,d', None),
        ('"a",b,"c"', None),
        ('a,"b"c', None),
    ],
)
def test_quotes_around_between_and_inside(tmp_path: Path, line: str, row: tuple[str | None, str] | None) -> None:
    path = tmp_path / "f"
    path.write_text(f"x,y\n{line}\nx,y\n")
    rows, log = read_all(path, 1000)
    assert rows == [("x", "y", 1), *([(*row, 2)] if row else []), ("x", "y", 3)]
    assert [problem.line for problem in log.problems] == ([] if row else [2])


def test_a_lone_quote_spoils_its_own_line_only(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text('a,b\nc,"d\ne,f\n"g",h\n"i\ni",j\nk,l\n')
    rows, log = read_all(path, 1000)
    assert rows == [("a", "b", 1), ("e", "f", 3), ("g", "h", 4), ("i\ni", "j", 5), ("k", "l", 7)]
    assert [(problem.line, problem.column, problem.code) for problem in log.problems] == [(2, "b", "unclosed_quote")]


def test_a_quote_is_not_looked_for_without_end(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text('a,"b\n' + "c,d\n" * 5000 + 'e,f"\n')
    rows, log = read_all(path, 64)
    assert len(rows) == 5001
    assert [problem.line for problem in log.problems] == [1]


def test_a_field_longer_than_the_parser_takes_is_named(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text(f'a,b\n"{"x" * 200_000}""",b\n')
    _, log = read_all(path, 1000)
    assert [(problem.line, problem.code) for problem in log.problems] == [(2, "malformed_line")]


def test_a_line_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_blocks, "MAX_LINE_BYTES", 100)
    path = tmp_path / "f"
    path.write_text("a,b\n" + "x" * 500)
    with pytest.raises(DataError, match="line 2 is longer than 100 bytes") as caught:
        read_all(path, 64)
    assert caught.value.line == 2


@settings(deadline=None, max_examples=50)
@given(
    sequences=st.dictionaries(identifiers, st.lists(identifiers, min_size=3, max_size=5), min_size=2, max_size=4).filter(
        lambda sequences: len({item for events in sequences.values() for item in events}) > 1
    ),
    dialect=st.sampled_from(["excel", "unix"]),
)
def test_any_names_survive_a_csv_file(
    tmp_path_factory: pytest.TempPathFactory, sequences: dict[str, list[str]], dialect: str
) -> None:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, dialect=dialect)
    writer.writerow(["user", "item"])
    writer.writerows([user, item] for user, events in sequences.items() for item in events)
    result = read_bytes(tmp_path_factory.mktemp("csv"), buffer.getvalue(), "csv")
    assert result.report["problems"] == []
    assert sequences_of(result.dataset) == sequences
