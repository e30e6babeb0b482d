from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farzi_core.data.sequences import SequenceDataset, Vocabulary
from farzi_core.data.splits import HeldOut, HeldOutStream, split_dataset
from farzi_core.errors import DataError


def make_dataset(sequences: list[list[int]], vocab_size: int = 10) -> SequenceDataset:
    return SequenceDataset(
        "sequential_recommendation",
        Vocabulary(tuple(f"i{event}" for event in range(vocab_size))),
        np.array([event for sequence in sequences for event in sequence], dtype=np.int32),
        np.cumsum([0, *map(len, sequences)], dtype=np.int64),
        tuple(f"u{index}" for index in range(len(sequences))),
    )


@given(st.lists(st.lists(st.integers(0, 9), max_size=8), max_size=12))
def test_leave_one_out_matches_its_definition(sequences: list[list[int]]) -> None:
    sequences = [*sequences, [1, 2, 3]]
    split = split_dataset(make_dataset(sequences))
    long = [sequence for sequence in sequences if len(sequence) >= 3]
    expected_train = [sequence[:-2] if len(sequence) >= 3 else sequence for sequence in sequences]

    assert [list(split.train.sequence(i)) for i in range(split.train.num_sequences)] == expected_train
    for held_out, from_end in ((split.validation, 2), (split.test, 1)):
        assert isinstance(held_out, HeldOut)
        assert held_out.targets.tolist() == [sequence[-from_end] for sequence in long]
        histories = [list(held_out.histories.sequence(i)) for i in range(held_out.histories.num_sequences)]
        assert histories == [sequence[:-from_end] for sequence in long]


def test_names_follow_their_sequences() -> None:
    split = split_dataset(make_dataset([[1], [1, 2, 3], [4, 5, 6, 7]]))
    assert isinstance(split.test, HeldOut)
    assert split.train.names == ("u0", "u1", "u2")
    assert split.test.histories.names == ("u1", "u2")


def test_sequences_of_two_events_cannot_be_split() -> None:
    with pytest.raises(DataError, match="no sequence has 3 events") as caught:
        split_dataset(make_dataset([[1, 2], [3, 4]]))
    assert caught.value.code == "sequences_too_short"


def make_text(num_validation: int, num_test: int) -> SequenceDataset:
    return SequenceDataset(
        "language_modeling",
        Vocabulary(("<eos>", "a", "b")),
        np.array([1, 0, 2, 0, 1, 1, 0, 2, 2, 0], dtype=np.int32),
        np.array([0, 2, 4, 7, 10], dtype=np.int64),
        num_validation_sequences=num_validation,
        num_test_sequences=num_test,
    )


def test_text_is_split_in_contiguous_lines() -> None:
    split = split_dataset(make_text(1, 1))
    assert isinstance(split.validation, HeldOutStream)
    assert isinstance(split.test, HeldOutStream)
    assert split.train.events.tolist() == [1, 0, 2, 0]
    assert split.validation.stream.tolist() == [1, 1, 0]
    assert split.test.stream.tolist() == [2, 2, 0]


@pytest.mark.parametrize(("num_validation", "num_test"), [(0, 1), (1, 0), (2, 2)])
def test_text_without_lines_for_a_part_is_refused(num_validation: int, num_test: int) -> None:
    with pytest.raises(DataError) as caught:
        split_dataset(make_text(num_validation, num_test))
    assert caught.value.code == "text_too_short"
