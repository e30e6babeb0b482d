from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farzi_core.data.batches import PADDING_ID, cut_windows, pad_sequences
from farzi_core.errors import DataError
from tests.farzi_core.data.test_splits import make_dataset


@given(st.lists(st.lists(st.integers(0, 9), max_size=8), min_size=1, max_size=12), st.integers(1, 10))
def test_padding_is_left_and_keeps_the_most_recent(sequences: list[list[int]], max_length: int) -> None:
    batch = pad_sequences(make_dataset(sequences), max_length=max_length)
    assert batch.dtype == np.int64
    for row, sequence in zip(batch.tolist(), sequences, strict=True):
        kept = sequence[-max_length:]
        assert row == [PADDING_ID] * (max_length - len(kept)) + kept


def test_indices_choose_and_order_the_rows() -> None:
    batch = pad_sequences(make_dataset([[1, 2], [3], [4, 5, 6]]), [2, 0], max_length=2)
    assert batch.tolist() == [[5, 6], [1, 2]]


@given(st.integers(2, 60), st.integers(2, 12))
def test_every_event_but_the_first_is_a_target_once(num_events: int, length: int) -> None:
    stream = np.arange(num_events, dtype=np.int32)
    windows = cut_windows(stream, length)
    inputs, targets = windows[:, :-1], windows[:, 1:]
    predicted = (inputs != PADDING_ID) & (targets != PADDING_ID)
    assert targets[predicted].tolist() == list(range(1, num_events))
    assert (targets[predicted] - inputs[predicted] == 1).all()


@pytest.mark.parametrize(("num_events", "length"), [(1, 5), (5, 1), (0, 5)])
def test_streams_with_nothing_to_predict_are_refused(num_events: int, length: int) -> None:
    with pytest.raises(DataError, match="at least 2"):
        cut_windows(np.zeros(num_events, dtype=np.int32), length)
