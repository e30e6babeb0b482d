"""Both ways of reading JSON lines, whole blocks and line by line, find the same rows and the same problems."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farzi_core.data import json_rows
from farzi_core.data.json_rows import first_object, read_json_rows
from farzi_core.data.line_blocks import LineBlock, LineBlocks
from farzi_core.data.problems import Problem, ProblemLog
from farzi_core.data.row_blocks import RowBlock
from farzi_core.errors import DataError

KEYS = {"user": "user", "item": "item", "timestamp": "timestamp"}
GOOD = '{"user": "u", "item": 3, "timestamp": 5}'
LINES = [
    GOOD,
    GOOD + "\r",
    '{"item": 4, "timestamp": 6, "user": "v", "extra": {"deep": [[{}]]}}',
    '{"user":"\\u00e9\\n","item":-0,"timestamp":9007199254740993}',
    "",
    " ",
    " " + GOOD,
    GOOD + GOOD,
    '{"user": "u", "item": 3,',
    '"timestamp": 5}',
    '{"user": "u", "item": 3, "timestamp": 5.5}',
    '{"user": "u", "item": 3, "timestamp": "5"}',
    '{"user": "u", "item": 3.0, "timestamp": 5}',
    '{"user": "u", "item": 99999999999999999999, "timestamp": 5}',
    '{"user": 1, "item": "3", "timestamp": 5}',
    '{"user": null, "item": 3, "timestamp": 5}',
    '{"user": "u", "item": 3}',
    '{"user": "u", "item": 3, "timestamp": NaN}',
    '{"user": "u", "item": 3, "timestamp": 5, "x": Inf}',
    '{"user": "u", "user": "w", "item": 3, "timestamp": 5}',
    '{"user": "\\ud800", "item": 3, "timestamp": 5}',
    '{"user": "u", "item": 3, "timestamp": 5}}',
    '{"user": "u", "item": 03, "timestamp": 5}',
    "{'user': 'u'}",
    "[" * 3000,
    '{"user": "u", "item": 3, "timestamp": 5, "x": ' + "[" * 500 + "]" * 500 + "}",
]
FIRSTS = [GOOD, '{"user": 7, "item": "i", "timestamp": 5.5}', '{"user": "u", "item": "i", "timestamp": "2024-01-01"}']


def read(path: Path, block_bytes: int) -> tuple[list[tuple[Any, ...]], list[Problem]]:
    log = ProblemLog()
    with LineBlocks(path, block_bytes=block_bytes) as blocks:
        found = list(read_json_rows(blocks, KEYS, first_object(blocks), log))
    rows = [
        (line, str(user), str(item), str(int(at)) if isinstance(at, float) and at.is_integer() else str(at))
        for block in found
        for line, user, item, at in zip(
            block.frame["line"],
            block.ids("user").to_pylist(),
            block.ids("item").to_pylist(),
            block.frame["timestamp"],
            strict=True,
        )
    ]
    return rows, log.problems


@settings(deadline=None, max_examples=200)
@given(
    first=st.sampled_from(FIRSTS),
    lines=st.lists(st.sampled_from(LINES + FIRSTS), max_size=8),
    block=st.sampled_from([40, 10_000]),
)
def test_whole_blocks_are_read_as_their_lines_are(
    tmp_path_factory: pytest.TempPathFactory, first: str, lines: list[str], block: int
) -> None:
    path = tmp_path_factory.mktemp("json") / "f"
    path.write_text("\n".join([first, *lines]))
    found = read(path, block)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_rows, "_read_whole", lambda *_: None)
        assert found == read(path, block)


def test_ordinary_lines_are_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    rows = [{"user": f"u{n}", "item": n, "timestamp": n / 2, "extra": None} for n in range(50)]
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    line_by_line = json_rows._read_line_by_line

    def refuse(block: LineBlock, *rest: Any) -> RowBlock:
        assert not block.data, "no line of this file is special"
        return line_by_line(block, *rest)

    monkeypatch.setattr(json_rows, "_read_line_by_line", refuse)
    found, problems = read(path, 1000)
    assert found == [(n + 1, f"u{n}", str(n), f"{n / 2:g}") for n in range(50)]
    assert problems == []


def test_whole_numbers_among_floats_keep_their_digits(tmp_path: Path) -> None:
    path = tmp_path / "f"
    numbers = ["0.5", "9007199254740993", "9007199254740992"]
    path.write_text("".join(f'{{"user": "u", "item": 1, "timestamp": {number}}}\n' for number in numbers))
    assert [at for *_, at in read(path, 10)[0]] == numbers


def test_values_nested_too_deeply_to_be_shown(tmp_path: Path) -> None:
    path = tmp_path / "f"
    deep = "[" * 900 + "]" * 900
    path.write_text(f'{GOOD}\n{{"user": {deep}, "item": 3, "timestamp": 5}}\n')
    assert [(problem.line, problem.code) for problem in read(path, 10_000)[1]] in ([(2, "wrong_type")], [(2, "not_json")])


def test_the_first_line_decides_whether_there_is_anything_to_read(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("\n{}]\n")
    with LineBlocks(path) as blocks, pytest.raises(DataError) as caught:
        first_object(blocks)
    assert caught.value.line == 2
