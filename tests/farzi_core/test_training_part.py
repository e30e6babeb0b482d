from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farzi_core.config import DataSummary
from farzi_core.data.splits import split_dataset
from farzi_core.errors import DataError
from farzi_core.training_part import measure_training_part, require_pairs
from tests.farzi_core.markov import make_dataset, text


@given(st.lists(st.integers(1, 4), min_size=1, max_size=12))
def test_sizes_say_what_the_split_leaves(lengths: list[int]) -> None:
    lengths = [3, *lengths]
    dataset = make_dataset([[0] * length for length in lengths], 2)
    left = int(split_dataset(dataset).train.lengths.max())
    num_short = sum(length < 3 for length in lengths)
    assert dataset.summary().max_training_length == left
    assert measure_training_part(max(lengths), len(lengths), sum(lengths), num_short) == left


def test_what_was_not_counted_is_needed_for_the_shortest_data_only() -> None:
    assert measure_training_part(3, 60, 180, None) is None
    assert measure_training_part(0, 0, 0, None) is None
    assert measure_training_part(6, 60, 180, None) == 4


def test_of_a_text_all_training_lines_count() -> None:
    dataset = text()
    assert dataset.summary().max_training_length == split_dataset(dataset).train.num_events


def test_data_without_a_pair_are_refused_where_it_is_known() -> None:
    with pytest.raises(DataError, match="nothing to learn from") as caught:
        require_pairs(DataSummary("sequential_recommendation", 60, 180, 10, 3, 1))
    assert caught.value.code == "sequences_too_short"
    require_pairs(DataSummary("sequential_recommendation", 60, 180, 10, 3))
