from __future__ import annotations

import pytest
import torch

from farzi_core.seeding import derive_generator
from farzi_core.synthetic.factorized import FactorizedSynthetic
from farzi_core.synthetic.free import FreeSynthetic, free_from_noise, free_scores_of


def test_free_scores_give_the_soft_tokens_they_were_made_of() -> None:
    generator = derive_generator(0, "free")
    factorized = FactorizedSynthetic(
        torch.randn(3, 4, 5, generator=generator), torch.randn(5, 7, generator=generator), temperature=0.3
    )
    free = free_scores_of(factorized)
    torch.testing.assert_close(free.probabilities(), factorized.probabilities())
    assert free.shape == (3, 4, 7)
    assert (free.num_sequences, free.sequence_length, free.vocab_size) == (3, 4, 7)
    assert free.size_bytes == 4 * 3 * 4 * 7


def test_every_score_moves_on_its_own() -> None:
    free = free_from_noise(2, 3, 5, temperature=2.0, generator=derive_generator(1))
    changed = free.token_scores.clone()
    changed[1, 2, 3] += 1.0
    difference = free.with_tensors({"token_scores": changed}).logits() - free.logits()
    assert difference[1, 2, 3].item() == pytest.approx(0.5)
    assert int((difference != 0).sum()) == 1


def test_noise_follows_its_seed() -> None:
    first, second, other = (free_from_noise(4, 5, 60, temperature=1.0, generator=derive_generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(first.token_scores, second.token_scores)
    assert not torch.equal(first.token_scores, other.token_scores)
    assert first.scores().std().item() == pytest.approx(1.0, abs=0.1)


def test_a_learned_temperature_is_a_tensor_and_starts_at_the_constant() -> None:
    constant = free_from_noise(2, 3, 5, temperature=2.0, generator=derive_generator(1))
    learned = constant.with_learned_temperature()
    assert list(learned.tensors()) == ["token_scores", "log_temperature"]
    assert learned.size_bytes == constant.size_bytes + 4
    torch.testing.assert_close(learned.probabilities(), constant.probabilities())
    tensors = {name: tensor.requires_grad_() for name, tensor in learned.tensors().items()}
    loss = learned.with_tensors(tensors).probabilities().square().sum()
    by_scores, by_log_temperature = torch.autograd.grad(loss, list(tensors.values()))
    assert by_log_temperature.item() != 0.0
    torch.testing.assert_close(by_log_temperature, -(by_scores * tensors["token_scores"]).sum())  # the chain rule


def test_tensors_go_in_by_name_and_others_are_ignored() -> None:
    free = FreeSynthetic(torch.zeros(1, 2, 3))
    changed = free.with_tensors({"token_scores": torch.ones(1, 2, 3), "log_temperature": torch.tensor(1.0)})
    assert torch.equal(changed.token_scores, torch.ones(1, 2, 3))
    assert changed.log_temperature is None
