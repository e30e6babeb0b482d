"""Every format reads the same events, and every refusal names its reason."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from farzi_core.config import DataFormat
from farzi_core.data.reading import read_dataset
from farzi_core.data_options import ColumnMapping
from tests.farzi_core.data.uploads import RECOMMENDATION, ROWS, SEQUENCES, join_rows, places, read_bytes, sequences_of

IN_TIME_ORDER = sorted(ROWS, key=lambda row: row[2])

SAMPLES: list[tuple[DataFormat, str]] = [
    ("csv", join_rows(",", "user,item,timestamp\n")),
    ("csv", join_rows(",")),
    ("csv", join_rows(",", "user,item,timestamp\n").replace("\n", "\r\n")),
    ("csv", "\ufeff" + join_rows(",", "user,item,timestamp\n")),
    ("csv", join_rows(",", "user,item,timestamp\n").rstrip("\n")),
    ("csv", join_rows(",", "\n\nuser,item,timestamp\n").replace("\nu2", "\n\nu2")),
    ("csv", join_rows(",", '"user","item","timestamp"\n').replace(",a,", ',"a",')),
    ("csv", "".join(f"{user},{item},4.5,{at}.0\n" for user, item, at in ROWS)),
    ("csv", "timestamp,extra,item,user\n" + "".join(f"{at},x,{item},{user}\n" for user, item, at in ROWS)),
    ("csv", "user,item\n" + "".join(f"{user},{item}\n" for user, item, _ in IN_TIME_ORDER)),
    ("tsv", join_rows("\t", "user\titem\ttimestamp\n")),
    ("tsv", "".join(f"{user}\t{item}\t5\t{at}\n" for user, item, at in ROWS)),
    ("inter", join_rows("\t", "user_id:token\titem_id:token\ttimestamp:float\n")),
    ("inter", "".join(["item_id:token\tuser_id:token\n", *(f"{i}\t{u}\n" for u, i, _ in IN_TIME_ORDER)])),
    ("jsonl", "".join(json.dumps({"user": u, "item": i, "timestamp": t}) + "\n" for u, i, t in ROWS)),
    ("jsonl", "\n".join(json.dumps({"timestamp": str(t), "item": i, "user": u, "x": [1]}) for u, i, t in ROWS)),
    ("sequences", "".join(f"{user} {item}\n" for user, item, _ in IN_TIME_ORDER)),
    ("sequences", "u1 b c a\r\n\nu2\tb  d b"),
]


@pytest.mark.parametrize(("data_format", "content"), SAMPLES)
def test_every_form_of_every_format_reads_the_same(tmp_path: Path, data_format: DataFormat, content: str) -> None:
    result = read_bytes(tmp_path, content, data_format)
    assert result.report["problems"] == []
    assert sequences_of(result.dataset) == SEQUENCES
    assert result.dataset is not None
    assert result.dataset.vocabulary.tokens[0] == "b"


@pytest.mark.parametrize("kind", ["strings", "integers", "dictionary", "datetime", "date"])
def test_parquet_columns_of_every_type_read_the_same(tmp_path: Path, kind: str) -> None:
    users, items, times = zip(*ROWS, strict=True)
    columns: dict[str, Any] = {"user": list(users), "item": list(items), "timestamp": list(times)}
    if kind == "dictionary":
        columns["item"] = pa.array(items).dictionary_encode()
    if kind == "datetime":
        columns["timestamp"] = [datetime(2020, 1, 1, 0, 0, at, tzinfo=UTC) for at in times]
    if kind == "date":
        columns["timestamp"] = [datetime(2020, 1, at, tzinfo=UTC).date() for at in times]
    if kind == "integers":
        columns["user"] = [int(user[1:]) for user in users]
    path = tmp_path / "upload.parquet"
    pq.write_table(pa.table(columns), path)
    result = read_dataset(path, task=RECOMMENDATION, format="parquet")
    expected = {name.removeprefix("u"): events for name, events in SEQUENCES.items()} if kind == "integers" else SEQUENCES
    assert sequences_of(result.dataset) == expected


def test_names_and_positions_choose_the_columns(tmp_path: Path) -> None:
    content = "when,what,who\n" + "".join(f"{at},{item},{user}\n" for user, item, at in ROWS)
    named = read_bytes(tmp_path, content, "csv", columns={"user": "who", "item": "what", "timestamp": "when"})
    placed = read_bytes(tmp_path, content, "csv", columns={"user": 2, "item": 1, "timestamp": 0}, header=True)
    bare = read_bytes(tmp_path, content.split("\n", 1)[1], "csv", columns={"user": 2, "item": 1, "timestamp": 0})
    unordered = read_bytes(tmp_path, content, "csv", columns={"user": "who", "item": "what", "timestamp": None})
    assert sequences_of(named.dataset) == sequences_of(placed.dataset) == sequences_of(bare.dataset) == SEQUENCES
    assert sequences_of(unordered.dataset)["u1"] == ["a", "b", "c"]


def test_another_delimiter_is_used(tmp_path: Path) -> None:
    assert sequences_of(read_bytes(tmp_path, join_rows(";"), "csv", delimiter=";").dataset) == SEQUENCES


def test_iso_times_order_events_whatever_their_form(tmp_path: Path) -> None:
    times = ["2024-01-01", "2024-01-01T00:00:00.5", "2024-01-01 00:00:01Z", "2024-01-01T02:00:02+02:00"]
    rows = [f"u,i{position},{at}" for position, at in enumerate(times)]
    content = "user,item,timestamp\n" + "\n".join([*reversed(rows), "v,i0,2024-01-02"])
    result = read_bytes(tmp_path, content, "csv")
    assert sequences_of(result.dataset)["u"] == ["i0", "i1", "i2", "i3"]
    assert result.report["histograms"]["time"][0]["low"] == "2024-01-01T00:00:00+00:00"
    assert result.report["histograms"]["time"][-1]["high"] == "2024-01-02T00:00:00+00:00"


def test_equal_times_keep_the_order_of_the_file(tmp_path: Path) -> None:
    items = [f"i{number}" for number in np.random.default_rng(0).permutation(200)]
    content = "user,item,timestamp\n" + "".join(f"u,{item},7\nv,{item},7\n" for item in items)
    assert sequences_of(read_bytes(tmp_path, content, "csv").dataset) == {"u": items, "v": items}


def test_large_whole_timestamps_are_not_rounded(tmp_path: Path) -> None:
    start = 2**62
    rows = "".join(f"u,i{offset},{start + offset}\nv,i{offset},{offset}\n" for offset in (2, 0, 1))
    assert sequences_of(read_bytes(tmp_path, rows, "csv").dataset)["u"] == ["i0", "i1", "i2"]


BAD_ROWS: list[tuple[DataFormat, str, tuple[int, str, str], str]] = [
    ("csv", "u1,a,x", (4, "timestamp", "bad_timestamp"), "x"),
    ("csv", "u1,a,nan", (4, "timestamp", "bad_timestamp"), "nan"),
    ("csv", "u1,a,inf", (4, "timestamp", "bad_timestamp"), "inf"),
    ("csv", "u1,a,2024-01-01", (4, "timestamp", "bad_timestamp"), "2024-01-01"),
    ("csv", ",a,1", (4, "user", "empty_value"), ""),
    ("csv", "u1,  ,1", (4, "item", "empty_value"), "  "),
    ("csv", '"",a,1', (4, "user", "empty_value"), ""),
    ("csv", "u1,a", (4, "timestamp", "wrong_field_count"), "u1,a"),
    ("csv", "u1,a,1,9", (4, "4", "wrong_field_count"), "u1,a,1,9"),
    ("csv", '"u1",a,1,9', (4, "4", "wrong_field_count"), '"u1",a,1,9'),
    ("csv", 'u1,"a,1', (4, "item", "unclosed_quote"), 'u1,"a,1'),
    ("csv", '"', (4, "user", "unclosed_quote"), '"'),
    ("csv", 'u1,"a"b,1', (4, "item", "malformed_quote"), 'u1,"a"b,1'),
    ("csv", "u1,a\0,1", (4, "item", "nul_byte"), "u1,a\\x00,1"),
    ("csv", '"u1",a\0,1', (4, "item", "nul_byte"), '"u1",a\\x00,1'),
    ("inter", "u1\ta", (4, "timestamp", "wrong_field_count"), "u1\\ta"),
    ("jsonl", '{"user": "u1", "item": ', (4, "24", "not_json"), '{"user": "u1", "item": '),
    ("jsonl", "[]", (4, "", "not_json"), "[]"),
    ("jsonl", "[" * 100_000, (4, "", "not_json"), "[" * 199 + "…"),
    ("jsonl", '{"user": "u1", "timestamp": 1}', (4, "item", "missing_key"), '{"user": "u1", "timestamp": 1}'),
    ("jsonl", '{"user": "u1", "item": ["a"], "timestamp": 1}', (4, "item", "wrong_type"), '["a"]'),
    ("jsonl", '{"user": 1.5, "item": "a", "timestamp": 1}', (4, "user", "wrong_type"), "1.5"),
    ("jsonl", '{"user": true, "item": "a", "timestamp": 1}', (4, "user", "wrong_type"), "true"),
    ("jsonl", '{"user": null, "item": "a", "timestamp": 1}', (4, "user", "empty_value"), ""),
    ("jsonl", '{"user": "\\ud800", "item": "a", "timestamp": 1}', (4, "user", "not_utf8"), "'\\ud800'"),
    ("jsonl", '{"user": "a\\u0000", "item": "a", "timestamp": 1}', (4, "user", "nul_byte"), "a\\x00"),
    ("jsonl", '{"user": "a", "item": "a", "timestamp": NaN}', (4, "timestamp", "bad_timestamp"), "nan"),
    ("sequences", "u1", (4, "2", "wrong_field_count"), "u1"),
    ("sequences", "u1 a b", (4, "3", "wrong_field_count"), "u1 a b"),
    ("sequences", "u1 a\0", (4, "2", "nul_byte"), "u1 a\\x00"),
]


def with_bad_row(data_format: DataFormat, row: str) -> str:
    """Return a good file of the format whose fourth line is ``row``."""
    content = {
        "csv": join_rows(",", "user,item,timestamp\n"),
        "inter": join_rows("\t", "user_id:token\titem_id:token\ttimestamp:float\n"),
        "jsonl": "".join(json.dumps({"user": u, "item": i, "timestamp": t}) + "\n" for u, i, t in ROWS),
        "sequences": "".join(f"{user} {item}\n" for user, item, _ in IN_TIME_ORDER),
    }[str(data_format)]
    lines = content.splitlines()
    return "\n".join([*lines[:3], row, *lines[3:], ""])


@pytest.mark.parametrize(("data_format", "row", "place", "value"), BAD_ROWS)
def test_a_bad_row_is_named_and_refuses_the_file(
    tmp_path: Path, data_format: DataFormat, row: str, place: tuple[int, str, str], value: str
) -> None:
    result = read_bytes(tmp_path, with_bad_row(data_format, row), data_format)
    line, column, code = place
    assert places(result) == [(line, column or None, code)]
    problem = result.report["problems"][0]
    assert (problem["value"] or "") == value
    assert len(problem["reason"]) > 20
    assert result.report["num_problems"] == 1
    assert result.preview == []
    json.dumps(result.report)


@pytest.mark.parametrize(("data_format", "row", "place", "value"), BAD_ROWS)
def test_a_bad_row_can_be_skipped(
    tmp_path: Path, data_format: DataFormat, row: str, place: tuple[int, str, str], value: str
) -> None:
    result = read_bytes(tmp_path, with_bad_row(data_format, row), data_format, bad_rows="skip")
    assert sequences_of(result.dataset) == SEQUENCES
    assert [problem["line"] for problem in result.report["problems"]] == [4]
    assert result.report["num_rows"] == len(ROWS) + 1


def test_all_faults_of_a_row_are_named(tmp_path: Path) -> None:
    result = read_bytes(tmp_path, with_bad_row("csv", ",,x"), "csv")
    assert places(result) == [(4, "user", "empty_value"), (4, "item", "empty_value"), (4, "timestamp", "bad_timestamp")]


def test_a_thousand_problems_are_kept_and_all_are_counted(tmp_path: Path) -> None:
    content = "user,item,timestamp\n" + "u,a,x\n" * 3000 + "u,a\n" * 2000
    report = read_bytes(tmp_path, content, "csv").report
    assert len(report["problems"]) == 1000
    assert report["num_problems"] == 5000
    assert report["problem_counts"] == {"bad_timestamp": 3000, "wrong_field_count": 2000}
    assert [problem["line"] for problem in report["problems"]] == sorted(p["line"] for p in report["problems"])
    skipped = read_bytes(tmp_path, content, "csv", bad_rows="skip").report
    assert len(skipped["problems"]) == 1000
    assert skipped["problems"][0]["code"] == "no_events"


WHOLE_FILES: list[tuple[DataFormat, bytes, str]] = [
    *((data_format, b"", "empty_file") for data_format in ("csv", "tsv", "jsonl", "parquet", "inter", "sequences", "text")),
    *((data_format, b"\n \n\r\n"[:1] * 3, "empty_file") for data_format in ("csv", "jsonl", "sequences", "text")),
    ("csv", b"\xef\xbb\xbf", "empty_file"),
    ("csv", b"user,item,timestamp\n", "no_events"),
    ("csv", b"user,item,timestamp\nu,a,1\nu,b,2\nu,c,3\n", "one_user"),
    ("csv", b"user,item,timestamp\nu,a,1\nu,a,2\nv,a,3\nv,a,4\n", "one_item"),
    ("csv", b"user,item,timestamp\nu,a,1\nu,b,2\nv,c,3\nv,a,4\n", "sequences_too_short"),
    ("csv", b"user,item\nu,caf\xe9\n", "not_utf8"),
    ("csv", b"\xff\xfeu\x00,\x00a\x00", "not_utf8"),
    ("csv", b"\x1f\x8b\x08\x00", "not_utf8"),
    ("csv", b"PK\x03\x04", "not_utf8"),
    ("jsonl", b'{"user": "\xff"}', "not_utf8"),
    ("sequences", b"u1 a b c\nu2 \xc3\n", "not_utf8"),
    ("text", b"a line\nanother \x80 line\n", "not_utf8"),
    ("csv", b"u1,a\ru1,b\ru1,c\r", "line_ends"),
    ("csv", b"who,what,when\nu,a,1\n", "unknown_column"),
    ("csv", b"a,b,c,d,e\n", "unknown_column"),
    ("csv", b"user,item,user\nu,a,u\n", "unknown_column"),
    ("csv", b"user;item;timestamp\nu;a;1\n", "wrong_delimiter"),
    ("csv", b'user,"item\nu,a\n', "unclosed_quote"),
    ("inter", b"user_id\titem_id\nu\ta\n", "bad_header"),
    ("inter", b"user_id:token\titem_id:int\nu\ta\n", "bad_header"),
    ("inter", b"user_id:token\titem_id:token\tprice:Float\nu\ta\t1\n", "bad_header"),
    ("inter", b":token\titem_id:token\nu\ta\n", "bad_header"),
    ("inter", b"user_id:token\titem_id:token\ttimestamp:float_seq\nu\ta\t1\n", "wrong_type"),
    ("csv", b"user,item," + b"x," * 10_000 + b"y\n", "too_many_columns"),
    ("inter", b"user_id:token\titem_id:token_seq\nu\ta\n", "wrong_type"),
    ("inter", b"uid:token\titem_id:token\nu\ta\n", "unknown_column"),
    ("jsonl", b'{"who": "u", "item": "a"}\n', "unknown_column"),
    ("jsonl", b"user item\n", "not_json"),
    ("parquet", b"user,item\n", "parquet_unreadable"),
    ("text", b"one line\n", "text_too_short"),
    ("text", b"one line\nsecond\n", "text_too_short"),
    ("text", b"word\nword\nword\nword\n", "one_item"),
]


@pytest.mark.parametrize(("data_format", "content", "code"), WHOLE_FILES)
def test_what_is_no_data_set_is_refused_with_its_code(
    tmp_path: Path, data_format: DataFormat, content: bytes, code: str
) -> None:
    result = read_bytes(tmp_path, content, data_format)
    assert result.dataset is None
    assert result.report["problems"][0]["code"] == code
    assert result.report["histograms"] == {}
    json.dumps(result.report)


def test_bytes_that_are_not_utf8_are_placed(tmp_path: Path) -> None:
    result = read_bytes(tmp_path, b"user,item\nu,a\nu,caf\xe9\n", "csv", bad_rows="skip")
    problem = result.report["problems"][0]
    assert (problem["line"], problem["code"]) == (3, "not_utf8")
    assert "byte 6 of line 3 is 0xe9" in problem["reason"]


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ({"user": "who", "item": "item"}, "'who'"),
        ({"user": "user", "item": "item", "timestamp": "at"}, "'at'"),
        ({"user": 0, "item": 7}, "position 7"),
        ({"user": 0, "item": 0}, "columns.user and columns.item"),
    ],
)
def test_an_unknown_column_names_the_columns_there_are(tmp_path: Path, columns: dict[str, Any], named: str) -> None:
    result = read_bytes(tmp_path, join_rows(",", "user,item,timestamp\n"), "csv", columns=columns, header=True)
    assert [code for _, _, code in places(result)] == ["unknown_column"]
    reason = result.report["problems"][0]["reason"]
    assert named in reason
    if "position" not in named and "and" not in named:
        assert "'user', 'item', 'timestamp'" in reason


@pytest.mark.parametrize("data_format", ["csv", "jsonl", "sequences"])
def test_more_rows_than_allowed_are_refused(tmp_path: Path, data_format: DataFormat) -> None:
    content = next(content for sample_format, content in SAMPLES if sample_format == data_format)
    assert read_bytes(tmp_path, content, data_format, max_rows=6).dataset is not None
    refused = read_bytes(tmp_path, content, data_format, max_rows=5)
    assert places(refused) == [(None, None, "too_many_rows")]
    assert refused.report["num_rows"] is None


def test_a_format_of_the_other_task_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("a b\n" * 10)
    result = read_dataset(tmp_path / "f", task="language_modeling", format="csv")
    assert places(result) == [(None, None, "format_not_allowed")]


def test_ratings_below_the_limit_are_left_out(tmp_path: Path) -> None:
    content = "".join(f"{user},{item},{5 if item != 'c' else 2},{at}\n" for user, item, at in [*ROWS, ("u1", "d", 40)])
    result = read_bytes(tmp_path, content, "csv", min_rating=3)
    assert sequences_of(result.dataset) == {"u1": ["b", "a", "d"], "u2": ["b", "d", "b"]}
    assert "1 rows rated below 3" in " ".join(result.report["warnings"])
    assert places(read_bytes(tmp_path, join_rows(","), "csv", min_rating=3)) == [(None, None, "unknown_column")]
    bad = read_bytes(tmp_path, "u,a,good,1\nv,b,5,2\n", "csv", min_rating=3)
    assert places(bad) == [(1, "3", "bad_rating")]


def test_faults_of_shape_and_of_value_come_in_the_order_of_lines(tmp_path: Path) -> None:
    result = read_bytes(tmp_path, with_bad_row("csv", "u1,a,x\nu1\n,a,1"), "csv")
    assert [line for line, _, _ in places(result)] == [4, 5, 6]


def test_the_column_that_is_missing_is_named_when_others_are_there(tmp_path: Path) -> None:
    result = read_bytes(tmp_path, join_rows(",", "user,item,timestamp\n"), "csv", columns={"user": "user", "item": "sku"})
    assert "no column 'sku'" in result.report["problems"][0]["reason"]


def test_a_header_that_names_one_column_twice_is_told_which_is_missing(tmp_path: Path) -> None:
    result = read_bytes(tmp_path, join_rows(",", "user,user,timestamp\n"), "csv")
    assert "no column 'item'" in result.report["problems"][0]["reason"]
    result = read_bytes(tmp_path, join_rows(",", "user,item,timestamp\n"), "csv", header=False)
    assert "option header says that the first line is a row" in result.report["problems"][0]["reason"]


def test_a_mapping_still_knows_what_was_left_out_after_json() -> None:
    mapping = ColumnMapping.model_validate_json(ColumnMapping(user="who", item="what").model_dump_json())
    assert mapping.model_fields_set == {"user", "item"}


def test_filters_are_repeated_until_both_hold(tmp_path: Path) -> None:
    # Without x, which is rare, w has two events left, and then y is rare as well.
    lines = ["u a b a b", "v b a a b", "w x y a", "z y a b a"]
    result = read_bytes(tmp_path, "\n".join(lines), "sequences", min_item_events=2, min_sequence_events=3)
    assert sequences_of(result.dataset) == {"u": list("abab"), "v": list("baab"), "z": list("aba")}


def test_lines_of_one_user_are_joined_with_a_warning(tmp_path: Path) -> None:
    result = read_bytes(tmp_path, "u a b\nv a b c\nu c d\n", "sequences")
    assert sequences_of(result.dataset)["u"] == ["a", "b", "c", "d"]
    assert any("continue" in warning for warning in result.report["warnings"])
    assert result.report["reading"]["layout"] == "sequences"


def test_the_report_describes_the_data(tmp_path: Path) -> None:
    result = read_bytes(tmp_path, join_rows(",", "user,item,timestamp\n") + "w,a,1\n", "csv")
    report = result.report
    assert report["statistics"]["sequence_length"] == {"min": 1, "median": 3.0, "mean": pytest.approx(7 / 3), "max": 3}
    assert report["statistics"]["share_repeated_events"] == pytest.approx(1 / 7)
    assert report["statistics"]["num_short_sequences"] == 1
    assert report["histograms"]["sequence_length"] == [
        {"low": 1, "high": 1, "count": 1},
        {"low": 2, "high": 3, "count": 2},
    ]
    assert sum(span["count"] for span in report["histograms"]["time"]) == 7
    assert report["histograms"]["time"][0]["low"] == 1
    assert report["reading"]["columns"] == {"user": "user", "item": "item", "timestamp": "timestamp"}
    assert result.preview[0] == {"name": "u1", "num_events": 3, "events": ["b", "c", "a"]}
    json.dumps(report)


def test_the_report_counts_what_was_dropped_and_what_came_twice(tmp_path: Path) -> None:
    header = "user,item,rating,timestamp\n"
    rows = ["u,a,5,1", "u,a,5,1", "u,b,5,1", "u,a,5,2", "u,c,1,3", "v,a,5,1", "v,b,5,2", "v,rare,5,3", "v,a,5,x", "v,a"]
    content = header + "\n".join([*rows, "u,a,5,1", "v,b,5,9"])
    columns = {"user": "user", "item": "item", "timestamp": "timestamp", "rating": "rating"}
    result = read_bytes(tmp_path, content, "csv", columns=columns, min_rating=3, min_item_events=2, bad_rows="skip")
    assert result.report["dropped_rows"] == {"bad": 2, "below_min_rating": 1, "rare": 1}
    assert result.report["statistics"]["num_events"] == 8
    assert result.report["statistics"]["num_duplicate_rows"] == 2
    untimed = read_bytes(tmp_path, "u a b a\nv b a\nw\n", "sequences", bad_rows="skip").report
    assert untimed["statistics"]["num_duplicate_rows"] is None
    assert untimed["dropped_rows"] == {"bad": 1, "below_min_rating": 0, "rare": 0}
    refused = read_bytes(tmp_path, "u,a,x\n", "csv", header=False).report
    assert (refused["dropped_rows"], refused["statistics"]) == ({}, {})


@pytest.mark.parametrize("data_format", ["csv", "jsonl", "sequences", "parquet", "text"])
def test_what_is_too_long_for_an_id_is_named(tmp_path: Path, data_format: DataFormat) -> None:
    long = "x" * 1001
    rows = [(user, long if at == 20 else item, at) for user, item, at in ROWS]
    if data_format == "parquet":
        users, items, times = zip(*rows, strict=True)
        pq.write_table(pa.table({"user": users, "item": items, "timestamp": times}), tmp_path / "f")
        result = read_dataset(tmp_path / "f", task=RECOMMENDATION, format="parquet")
    else:
        content = {
            "csv": "".join(f"{user},{item},{at}\n" for user, item, at in rows),
            "jsonl": "".join(json.dumps({"user": u, "item": i, "timestamp": t}) + "\n" for u, i, t in rows),
            "sequences": "".join(f"{user} {item}\n" for user, item, _ in rows),
            "text": "".join(f"{user} {item}\n" for user, item, _ in rows),
        }[data_format]
        result = read_bytes(tmp_path, content, data_format)
    assert [(line, code) for line, _, code in places(result)] == [(4, "value_too_long")]
    assert result.report["problems"][0]["value"] == "x" * 199 + "…"


def test_what_cannot_be_seen_is_escaped_and_what_is_long_is_cut(tmp_path: Path) -> None:
    header = f"user,item,timestamp,{'long' * 100},\u202eevil\0\x1b[2J\n"
    report = read_bytes(tmp_path, f"{header}u,a,1,2,3,4\nu,\u202eb,1,2\nu,\x1b[2J,x,2,3\n", "csv").report
    assert [problem["column"] for problem in report["problems"]] == ["6", "\\u202eevil\\x00\\x1b[2J", "timestamp"]
    assert report["problems"][1]["value"] == "u,\\u202eb,1,2"
    assert all(text.isprintable() for problem in report["problems"] for text in problem.values() if isinstance(text, str))
    long = read_bytes(tmp_path, f"user,item,{'long' * 100}\nu,a\n", "csv").report["problems"][0]
    assert long["column"] == ("long" * 100)[:79] + "…"


@pytest.mark.parametrize("times", [("-1e308", "1e308"), ("-9223372036854775808", "9223372036854775807"), ("-0", "1e-300")])
def test_the_farthest_times_have_a_histogram(tmp_path: Path, times: tuple[str, str]) -> None:
    content = "user,item,timestamp\n" + "".join(f"{user},{item},{times[at > 6]}\n" for user, item, at in ROWS)
    report = read_bytes(tmp_path, content, "csv").report
    assert report["problems"] == []
    spans = report["histograms"]["time"]
    assert sum(span["count"] for span in spans) == len(ROWS)
    assert (float(spans[0]["low"]), float(spans[-1]["high"])) == (float(times[0]), float(times[1]))
    assert all(first["high"] == second["low"] for first, second in itertools.pairwise(spans))
    json.dumps(report, allow_nan=False)


def test_times_outside_the_years_are_bad_rows(tmp_path: Path) -> None:
    far = [2**40, 0, -(2**40)]
    moments = pa.array(far * 2, pa.timestamp("s"))
    pq.write_table(pa.table({"user": list("uuuvvv"), "item": list("abcabc"), "timestamp": moments}), tmp_path / "f")
    result = read_dataset(tmp_path / "f", task=RECOMMENDATION, format="parquet")
    assert {code for _, _, code in places(result)} == {"bad_timestamp"}
    assert [line for line, _, _ in places(result)] == [1, 3, 4, 6]


def test_progress_reaches_the_end(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text(join_rows(","))
    seen: list[tuple[int, int]] = []
    read_dataset(path, task=RECOMMENDATION, format="csv", on_progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (path.stat().st_size, path.stat().st_size)


def test_reading_never_imports_torch() -> None:
    code = "import sys, farzi_core.data.reading, farzi_core.manifest; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
