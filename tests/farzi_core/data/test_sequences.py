from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farzi_core.data import canonical
from farzi_core.data.sequences import SequenceDataset, Vocabulary
from farzi_core.errors import ArtifactError, DataError
from tests.farzi_core.data.test_splits import make_dataset, make_text

texts = st.text(st.characters(exclude_categories=["Cs"]))


@st.composite
def datasets(draw: st.DrawFn) -> SequenceDataset:
    tokens = draw(st.lists(texts, min_size=1, max_size=8, unique=True))
    sequences = draw(st.lists(st.lists(st.integers(0, len(tokens) - 1), max_size=5), max_size=6))
    names = draw(st.none() | st.lists(texts, min_size=len(sequences), max_size=len(sequences)))
    num_test = draw(st.integers(0, len(sequences)))
    return SequenceDataset(
        draw(st.sampled_from(["sequential_recommendation", "language_modeling"])),
        Vocabulary(tuple(tokens)),
        np.array([event for sequence in sequences for event in sequence], dtype=np.int32),
        np.cumsum([0, *map(len, sequences)], dtype=np.int64),
        None if names is None else tuple(names),
        len(sequences) - num_test,
        num_test,
        draw(st.sampled_from([None, "words", "characters"])),
    )


@settings(deadline=None)
@given(dataset=datasets())
def test_parquet_gives_back_what_was_written(tmp_path_factory: pytest.TempPathFactory, dataset: SequenceDataset) -> None:
    path = tmp_path_factory.mktemp("canonical") / "canonical.parquet"
    dataset.write_parquet(path)
    read = SequenceDataset.read_parquet(path)
    assert canonical.hash_dataset(read) == canonical.hash_dataset(dataset)
    assert read.task == dataset.task
    assert read.vocabulary == dataset.vocabulary
    assert read.events.tolist() == dataset.events.tolist()
    assert read.offsets.tolist() == dataset.offsets.tolist()
    assert read.names == dataset.names
    assert read.num_validation_sequences == dataset.num_validation_sequences
    assert read.tokenizer == dataset.tokenizer
    assert read.num_test_sequences == dataset.num_test_sequences


def test_several_row_groups_are_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canonical, "_ROWS_PER_GROUP", 2)
    dataset = make_dataset([[1], [2, 3], [], [4, 5, 6], [7]])
    dataset.write_parquet(tmp_path / "d.parquet")
    assert pq.ParquetFile(tmp_path / "d.parquet").num_row_groups == 3
    read = SequenceDataset.read_parquet(tmp_path / "d.parquet")
    assert [list(read.sequence(i)) for i in range(5)] == [[1], [2, 3], [], [4, 5, 6], [7]]


def test_every_flipped_byte_is_noticed_or_harmless(tmp_path: Path) -> None:
    dataset = make_dataset([[1, 2, 3], [4, 5, 6, 7]])
    path = tmp_path / "d.parquet"
    dataset.write_parquet(path)
    good = path.read_bytes()
    noticed = 0
    for position in range(0, len(good), 3):
        path.write_bytes(good[:position] + bytes([good[position] ^ 0x10]) + good[position + 1 :])
        try:
            read = SequenceDataset.read_parquet(path)
        except ArtifactError:
            noticed += 1
        else:
            assert canonical.hash_dataset(read) == canonical.hash_dataset(dataset)
    assert noticed > len(good) / 3 / 2


@pytest.mark.parametrize("size", [0, 3, 100, -1])
def test_a_truncated_file_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "d.parquet"
    make_dataset([[1, 2, 3]]).write_parquet(path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ArtifactError, match=r"d\.parquet"):
        SequenceDataset.read_parquet(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError):
        SequenceDataset.read_parquet(tmp_path / "none.parquet")


def test_another_version_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "d.parquet"
    with monkeypatch.context() as patch:
        patch.setattr(canonical, "CANONICAL_VERSION", 7)
        make_dataset([[1, 2, 3]]).write_parquet(path)
    with pytest.raises(ArtifactError, match="version 7, this release reads version 1"):
        SequenceDataset.read_parquet(path)


def test_a_foreign_parquet_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    pq.write_table(pa.table({"name": ["a"], "events": [[1]]}), path)
    with pytest.raises(ArtifactError, match="not a canonical data set"):
        SequenceDataset.read_parquet(path)


def test_other_content_under_the_old_hash_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "d.parquet"
    other = canonical.hash_dataset(make_dataset([[3, 2, 1]]))
    with monkeypatch.context() as patch:
        patch.setattr(canonical, "hash_dataset", lambda _: other)
        make_dataset([[1, 2, 3]]).write_parquet(path)
    with pytest.raises(ArtifactError, match="SHA-256"):
        SequenceDataset.read_parquet(path)


def test_take_orders_and_repeats() -> None:
    taken = make_dataset([[1], [2, 3], [4, 5, 6]]).take([2, 0, 2])
    assert [list(taken.sequence(i)) for i in range(3)] == [[4, 5, 6], [1], [4, 5, 6]]
    assert taken.names == ("u2", "u0", "u2")


def test_summary_counts() -> None:
    summary = make_text(1, 1).summary()
    assert (summary.num_sequences, summary.num_events, summary.vocab_size, summary.max_sequence_length) == (4, 10, 3, 3)


def test_vocabulary_goes_both_ways() -> None:
    vocabulary = Vocabulary(("b", "a"))
    assert vocabulary.decode(vocabulary.encode(["a", "b", "a"])) == ["a", "b", "a"]
    with pytest.raises(DataError, match="'c' is not among the 2 events"):
        vocabulary.encode(["c"])


@pytest.mark.parametrize(
    ("events", "offsets", "reason"),
    [
        (np.array([0, 3], dtype=np.int32), [0, 2], "event ids from 0 to 3"),
        (np.array([0, -1], dtype=np.int32), [0, 2], "event ids from -1"),
        (np.array([0, 1], dtype=np.int32), [0, 1], "offsets must rise"),
        (np.array([0, 1], dtype=np.int32), [0, 2, 1, 2], "offsets must rise"),
        (np.array([0, 1], dtype=np.int64), [0, 2], "pass int32"),
    ],
)
def test_arrays_that_are_no_sequences_are_refused(events: np.ndarray, offsets: list[int], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        SequenceDataset("sequential_recommendation", Vocabulary(("a", "b")), events, np.array(offsets, dtype=np.int64))
