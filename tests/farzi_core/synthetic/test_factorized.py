from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F  # noqa: N812  torch's own idiom

from farzi_core.errors import ConfigError
from farzi_core.seeding import derive_generator
from farzi_core.synthetic.base import entropy_of_logits
from farzi_core.synthetic.factorized import (
    FactorizedSynthetic,
    start_from_noise,
    start_from_predictions,
    start_from_real,
)
from farzi_core.synthetic.sharpness import prediction_entropy, start_entropy


def test_probabilities_are_the_softmax_of_the_product() -> None:
    synthetic = FactorizedSynthetic(
        torch.tensor([[[1.0, 2.0]]]), torch.tensor([[1.0, 0.0, -1.0], [0.5, 0.0, 0.0]]), temperature=2.0
    )
    weights = [math.exp(2.0 / 2), math.exp(0.0), math.exp(-1.0 / 2)]
    expected = torch.tensor([weight / sum(weights) for weight in weights])
    torch.testing.assert_close(synthetic.probabilities()[0, 0], expected)
    assert synthetic.size_bytes == 4 * (2 + 6)


def test_entropy_of_uniform_and_of_certain_tokens() -> None:
    logits = torch.tensor([[0.0, 0.0, 0.0, 0.0], [100.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    entropy = entropy_of_logits(logits)
    assert entropy[0].item() == pytest.approx(math.log(4))
    assert entropy[1].item() == pytest.approx(0.0, abs=1e-12)


def test_start_entropy_meets_the_two_measured_points() -> None:
    assert start_entropy(105) == pytest.approx(2.5, abs=0.02)
    assert start_entropy(1683) == pytest.approx(4.0, abs=0.02)


@pytest.mark.parametrize("latent_dim", [4, 16, 40])
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_start_from_real_has_its_entropy_and_favours_the_real_events(latent_dim: int, temperature: float) -> None:
    embeddings = torch.randn(50, 16, generator=derive_generator(0, "embeddings"))
    sequences = torch.randint(50, (6, 9), generator=derive_generator(0, "sequences"))
    start = start_from_real(
        embeddings, sequences, latent_dim=latent_dim, temperature=temperature, generator=derive_generator(0, "noise")
    )
    assert start.latents.shape == (6, 9, latent_dim)
    assert start.token_decoder.shape == (latent_dim, 50)
    assert start.entropy().mean().item() == pytest.approx(start_entropy(50), abs=1e-3)
    # A row has no larger product with another row than with itself, because all have the same length.
    assert torch.equal(start.probabilities().argmax(-1), sequences)


def test_a_wide_start_can_leave_the_teachers_space() -> None:
    embeddings = torch.randn(20, 4, generator=derive_generator(0, "embeddings"))
    sequences = torch.arange(20).reshape(2, 10)
    start = start_from_real(embeddings, sequences, latent_dim=8, temperature=1.0, generator=derive_generator(0, "noise"))
    assert bool((start.latents[..., 4:] != 0).any())
    assert bool((start.token_decoder[4:] != 0).any())


@pytest.mark.parametrize("latent_dim", [4, 16, 40])
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_start_from_predictions_has_its_entropy_and_both_factors_the_same_size(latent_dim: int, temperature: float) -> None:
    embeddings = torch.randn(50, 16, generator=derive_generator(0, "embeddings"))
    sequences = torch.randint(50, (6, 9), generator=derive_generator(0, "sequences"))
    hidden = 0.1 * torch.randn(6, 9, 16, generator=derive_generator(0, "hidden"))
    start = start_from_predictions(
        embeddings, hidden, sequences, latent_dim=latent_dim, temperature=temperature, generator=derive_generator(0, "noise")
    )
    assert start.latents.shape == (6, 9, latent_dim)
    assert start.token_decoder.shape == (latent_dim, 50)
    assert start.entropy().mean().item() == pytest.approx(prediction_entropy(50), abs=1e-2)
    largest = temperature * start.token_decoder[:16].square().mean()
    torch.testing.assert_close(start.latents[..., :16].square().mean() / temperature, largest)


def test_sharp_predictions_are_left_as_they_are() -> None:
    embeddings = torch.eye(16)
    hidden = 30.0 * F.one_hot(torch.arange(9) % 4, 16).float().expand(6, 9, 16)
    sequences = torch.full((6, 9), 7)
    start = start_from_predictions(
        embeddings, hidden, sequences, latent_dim=16, temperature=1.0, generator=derive_generator(0, "noise")
    )
    torch.testing.assert_close(start.probabilities(), hidden.softmax(-1), rtol=0, atol=1e-3)


def test_embeddings_that_are_all_the_same_are_refused() -> None:
    embeddings = torch.ones(30, 4)
    with pytest.raises(ConfigError, match=r"teacher\.num_steps"):
        start_from_real(
            embeddings, torch.zeros(1, 3, dtype=torch.int64), latent_dim=4, temperature=1.0, generator=derive_generator(0)
        )


def test_start_from_noise_is_seeded_and_nearly_uniform() -> None:
    first, second = (
        start_from_noise(2, 3, 30, latent_dim=16, temperature=1.0, generator=derive_generator(7, "start")) for _ in range(2)
    )
    assert torch.equal(first.latents, second.latents)
    assert first.entropy().mean().item() > 0.8 * math.log(30)
