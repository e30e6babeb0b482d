from __future__ import annotations

import pytest
import torch
from torch import Tensor

from farzi_core.errors import ConfigError, NumericalError
from farzi_core.synthetic import hard
from farzi_core.synthetic.hard import argmax_hard_sequences, sample_hard_sequences


def random_probabilities(num_sequences: int, length: int, vocab_size: int) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(num_sequences, length, vocab_size, generator=generator).mul(2).softmax(-1)


def test_rows_are_ordered_by_draw_then_sequence() -> None:
    certain = torch.eye(6).reshape(2, 3, 6)
    assert sample_hard_sequences(certain, 2, seed=0).tolist() == [[0, 1, 2], [3, 4, 5], [0, 1, 2], [3, 4, 5]]


def test_draws_follow_the_probabilities() -> None:
    probabilities = torch.tensor([[[0.5, 0.0, 0.2, 0.3]]])
    drawn = sample_hard_sequences(probabilities, 20_000, seed=1).flatten()
    shares = torch.bincount(drawn, minlength=4) / 20_000
    torch.testing.assert_close(shares, probabilities[0, 0], atol=0.015, rtol=0)
    assert shares[1] == 0


def test_positions_are_drawn_independently() -> None:
    drawn = sample_hard_sequences(torch.full((1, 2, 2), 0.5), 10_000, seed=2).float()
    assert abs(torch.corrcoef(drawn.T)[0, 1].item()) < 0.04


def test_seed_decides_and_the_block_size_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    probabilities = random_probabilities(5, 7, 11)
    whole = sample_hard_sequences(probabilities, 3, seed=5)
    monkeypatch.setattr(hard, "_BLOCK_NUMBERS", 30)
    assert torch.equal(sample_hard_sequences(probabilities, 3, seed=5), whole)
    assert not torch.equal(sample_hard_sequences(probabilities, 3, seed=6), whole)
    assert torch.equal(argmax_hard_sequences(probabilities), probabilities.argmax(-1))


def test_no_hidden_random_state_is_touched() -> None:
    before = torch.get_rng_state()
    sample_hard_sequences(random_probabilities(2, 3, 4), 2, seed=5)
    assert torch.equal(torch.get_rng_state(), before)


def test_positions_need_not_sum_to_one_and_trailing_zeros_are_never_drawn() -> None:
    probabilities = torch.tensor([[[3.0, 1.0, 0.0, 0.0]]])
    drawn = sample_hard_sequences(probabilities, 4000, seed=0)
    assert drawn.max() == 1
    assert abs((drawn == 0).double().mean().item() - 0.75) < 0.03


def test_a_large_vocabulary_stays_exact() -> None:
    probabilities = torch.zeros(1, 2, 3_000_000)
    probabilities[0, 0, 2_999_999] = 1.0
    probabilities[0, 1, 1_234_567] = 1.0
    assert sample_hard_sequences(probabilities, 1, seed=0).tolist() == [[2_999_999, 1_234_567]]


def test_draws_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="draws=0"):
        sample_hard_sequences(torch.ones(1, 1, 2), 0, seed=0)


@pytest.mark.parametrize("bad", [[float("nan"), 1.0], [float("inf"), 1.0], [-0.1, 1.1], [0.0, 0.0]])
def test_what_is_no_distribution_is_refused(bad: list[float]) -> None:
    for draw in (lambda p: sample_hard_sequences(p, 1, seed=0), argmax_hard_sequences):
        with pytest.raises(NumericalError, match="negative or not finite"):
            draw(torch.tensor([[bad]]))


def test_nothing_to_draw_from_is_refused() -> None:
    with pytest.raises(NumericalError, match="no position"):
        argmax_hard_sequences(torch.zeros(0, 4, 5))
