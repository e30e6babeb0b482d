from __future__ import annotations

import numpy as np
import pytest
import torch

from farzi_core.data.batches import PADDING_ID
from farzi_core.distillation.real_data import RealSequences
from farzi_core.errors import DataError
from farzi_core.seeding import derive_generator
from tests.farzi_core.markov import make_dataset

CHAINS = [[0, 1, 2, 3, 4, 5, 6, 7], [8, 9], [10], [11, 12, 13]]


def test_windows_are_contiguous_parts_of_one_sequence() -> None:
    events = RealSequences(make_dataset(CHAINS, 14)).draw(400, 5, derive_generator(0, "draw"))
    assert events.shape == (400, 5)
    seen = set()
    for row in events.tolist():
        kept = [event for event in row if event != PADDING_ID]
        assert row[: 5 - len(kept)] == [PADDING_ID] * (5 - len(kept))
        assert np.array_equal(np.diff(kept), np.ones(len(kept) - 1))
        assert any(kept[0] in chain and kept[-1] in chain for chain in CHAINS)
        seen.add(tuple(kept))
    # Every window of the long sequence, both short ones whole, and never the one without a prediction.
    assert seen == {(0, 1, 2, 3, 4), (1, 2, 3, 4, 5), (2, 3, 4, 5, 6), (3, 4, 5, 6, 7), (8, 9), (11, 12, 13)}


def test_sequences_are_drawn_in_proportion_to_the_events_of_a_window() -> None:
    events = RealSequences(make_dataset(CHAINS, 14)).draw(20_000, 5, derive_generator(0, "draw"))
    last = events[:, -1]
    assert (last == 9).double().mean().item() == pytest.approx(2 / 10, abs=0.015)
    assert (last == 13).double().mean().item() == pytest.approx(3 / 10, abs=0.015)


def test_a_batch_is_no_wider_than_its_longest_window() -> None:
    events = RealSequences(make_dataset([[0, 1], [2, 3, 4]], 5)).draw(50, 40, derive_generator(0, "draw"))
    assert events.shape == (50, 3)


def test_pick_takes_distinct_full_windows_first() -> None:
    real = RealSequences(make_dataset([*CHAINS, [13, 12, 11, 10, 9]], 14))
    picked = real.pick(3, 5, derive_generator(1, "pick"))
    assert (picked[:2] != PADDING_ID).all()
    assert (picked[2] == PADDING_ID).any()
    assert len({tuple(row) for row in picked.tolist()}) == 3
    assert len(real.pick(9, 5, derive_generator(1, "pick"))) == 9


def test_pick_whole_has_no_padding() -> None:
    picked = RealSequences(make_dataset(CHAINS, 14)).pick_whole(4, 12, derive_generator(1, "pick"))
    assert picked.shape == (4, 12)
    assert (picked >= 0).all()


def test_a_text_is_one_stream() -> None:
    real = RealSequences(make_dataset([[0, 1], [2, 3], [4, 5, 6, 7]], 8, "language_modeling"))
    events = real.draw(100, 4, derive_generator(0, "draw"))
    assert {tuple(row) for row in events.tolist()} == {(i, i + 1, i + 2, i + 3) for i in range(5)}
    picked = real.pick(2, 4, derive_generator(0, "pick"))
    assert {tuple(row) for row in picked.tolist()} == {(0, 1, 2, 3), (4, 5, 6, 7)}


def test_nothing_to_predict_is_refused() -> None:
    with pytest.raises(DataError, match="nothing to learn from") as caught:
        RealSequences(make_dataset([[0], [1]], 2))
    assert caught.value.code == "sequences_too_short"


def test_the_same_generator_draws_the_same() -> None:
    real = RealSequences(make_dataset(CHAINS, 14))
    assert torch.equal(real.draw(9, 4, derive_generator(3, "a")), real.draw(9, 4, derive_generator(3, "a")))
    assert not torch.equal(real.draw(9, 4, derive_generator(3, "a")), real.draw(9, 4, derive_generator(3, "b")))
