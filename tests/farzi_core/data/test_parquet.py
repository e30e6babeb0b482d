"""Parquet is read by its columns, and refused where its footer or its types lie."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from farzi_core.data.reading import read_dataset
from tests.farzi_core.data.uploads import RECOMMENDATION, ROWS, join_rows, places, read_bytes, sequences_of


def test_parquet_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "upload.parquet"
    pq.write_table(pa.table({"user": [1.5], "item": ["a"]}), path)
    result = read_dataset(path, task=RECOMMENDATION, format="parquet")
    assert places(result) == [(None, "user", "wrong_type")]
    assert "double" in result.report["problems"][0]["reason"]

    path.write_bytes(path.read_bytes()[:-20])
    assert places(read_dataset(path, task=RECOMMENDATION, format="parquet")) == [(None, None, "parquet_unreadable")]


def test_parquet_rows_with_nulls_are_named(tmp_path: Path) -> None:
    path = tmp_path / "upload.parquet"
    table = {"user": ["u", None, "v"], "item": ["a", "b", "c\0"], "timestamp": [1.0, 2.0, float("nan")]}
    pq.write_table(pa.table(table), path)
    result = read_dataset(path, task=RECOMMENDATION, format="parquet")
    assert places(result) == [(2, "user", "empty_value"), (3, "item", "nul_byte"), (3, "timestamp", "bad_timestamp")]
    assert result.report["reading"]["line_is"] == "row"


def test_parquet_ids_follow_the_rows_whatever_the_dictionary(tmp_path: Path) -> None:
    users, items, times = zip(*ROWS, strict=True)
    dictionary = pa.DictionaryArray.from_arrays(
        [{"d": 1, "c": 2, "b": 3, "a": 4}[i] for i in items], ["never", "d", "c", "b", "a"]
    )
    pq.write_table(pa.table({"user": users, "item": dictionary, "timestamp": times}), tmp_path / "f", row_group_size=2)
    result = read_dataset(tmp_path / "f", task=RECOMMENDATION, format="parquet")
    plain = read_bytes(tmp_path, join_rows(","), "csv").dataset
    assert result.dataset is not None
    assert plain is not None
    assert result.dataset.vocabulary == plain.vocabulary
    assert sequences_of(result.dataset) == sequences_of(plain)


def test_a_footer_that_promises_other_rows_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    users, items, times = zip(*ROWS, strict=True)
    pq.write_table(pa.table({"user": users, "item": items, "timestamp": times}), tmp_path / "f")
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", lambda *_args, **_options: iter(()))
    result = read_dataset(tmp_path / "f", task=RECOMMENDATION, format="parquet")
    assert places(result) == [(None, None, "parquet_unreadable")]
    assert "promises 6 rows, but 0 are there" in result.report["problems"][0]["reason"]
