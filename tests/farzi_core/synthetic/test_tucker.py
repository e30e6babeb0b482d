from __future__ import annotations

import pytest
import torch
from torch import Tensor

from farzi_core.seeding import derive_generator
from farzi_core.synthetic.factorized import FactorizedSynthetic, start_from_real
from farzi_core.synthetic.sharpness import start_entropy
from farzi_core.synthetic.tucker import TuckerSynthetic, default_ranks, fit_tucker, tucker_from_noise

SIZES = [(20, 50, 32), (50, 50, 32), (100, 20, 64), (2, 50, 32), (1, 4, 8), (1000, 200, 8), (500, 5, 2)]


def rand(*shape: int) -> Tensor:
    return torch.randn(shape, generator=derive_generator(sum(shape), "tucker"), dtype=torch.float64)


def make_start(num_sequences: int = 6, length: int = 9, vocab_size: int = 40, width: int = 8) -> FactorizedSynthetic:
    sequences = torch.randint(vocab_size, (num_sequences, length), generator=derive_generator(1, "sequences"))
    return start_from_real(rand(vocab_size, 16), sequences, latent_dim=width, temperature=0.7, generator=derive_generator(0))


def test_scores_are_the_sum_over_all_three_ranks() -> None:
    synthetic = TuckerSynthetic(rand(2, 3, 4), rand(5, 2), rand(7, 3), rand(4, 11), temperature=0.5)
    factors = (synthetic.core, synthetic.sequence_factors, synthetic.position_factors, synthetic.token_decoder)
    expected = torch.einsum("abc,sa,lb,cv->slv", *factors)
    torch.testing.assert_close(synthetic.logits(), expected / 0.5)
    assert synthetic.shape == (5, 7, 11)
    assert synthetic.size_bytes == 8 * (2 * 3 * 4 + 5 * 2 + 7 * 3 + 4 * 11)


def test_full_ranks_lose_nothing() -> None:
    start = make_start()
    torch.testing.assert_close(fit_tucker(start, (6, 9, 8)).probabilities(), start.probabilities())


def test_ranks_beyond_the_scores_are_left_out() -> None:
    start = make_start(num_sequences=3, length=2, vocab_size=5, width=8)
    fitted = fit_tucker(start, (3, 2, 30))
    assert fitted.core.shape == (3, 2, 5)
    torch.testing.assert_close(fitted.probabilities(), start.probabilities())


def test_scores_of_low_rank_are_found_from_their_ranks() -> None:
    made = TuckerSynthetic(rand(2, 3, 4), rand(10, 2), rand(12, 3), rand(4, 30))
    latents = torch.einsum("abc,sa,lb->slc", made.core, made.sequence_factors, made.position_factors)
    fitted = fit_tucker(FactorizedSynthetic(latents, made.token_decoder), (2, 3, 4))
    ratio = fitted.scores() / made.scores()  # equal but for the sharpness, which a start sets
    torch.testing.assert_close(ratio, ratio[:1, :1, :1].expand_as(ratio))


def test_a_truncated_fit_is_close_and_as_sharp_as_a_start() -> None:
    start = make_start(num_sequences=12, length=10)
    errors = []
    for ranks in ((12, 10, 8), (8, 8, 8), (6, 5, 8), (2, 2, 8)):
        fitted = fit_tucker(start, ranks)
        assert fitted.entropy().mean().item() == pytest.approx(start_entropy(40), rel=1e-6)
        whole, ours = start.scores().flatten(), fitted.scores().flatten()
        errors.append(1.0 - torch.cosine_similarity(whole, ours, dim=0).item())
    assert errors == sorted(errors)
    assert errors[0] < 1e-12
    assert errors[2] < 0.5


def test_core_and_decoder_have_entries_of_one_size() -> None:
    fitted = fit_tucker(make_start(), (3, 5, 8))
    size = {name: tensor.square().mean().sqrt().item() for name, tensor in fitted.tensors().items()}
    assert size["sequence_factors"] == pytest.approx(1.0)
    assert size["position_factors"] == pytest.approx(1.0)
    assert size["core"] == pytest.approx(size["token_decoder"])


@pytest.mark.parametrize("size", SIZES)
def test_default_ranks_take_fewer_numbers_than_latents(size: tuple[int, int, int]) -> None:
    num_sequences, length, width = size
    a, b, c = default_ranks(*size)
    assert 1 <= a <= num_sequences
    assert 1 <= b <= length
    assert a * b * c + num_sequences * a + length * b < num_sequences * length * width


def test_noise_has_unit_variance_and_follows_its_seed() -> None:
    def draw(seed: int) -> TuckerSynthetic:
        return tucker_from_noise(20, 30, 40, ranks=(8, 9, 16), temperature=1.0, generator=derive_generator(seed))

    assert draw(0).scores().std().item() == pytest.approx(1.0, abs=0.25)
    assert torch.equal(draw(1).scores(), draw(1).scores())
    assert not torch.equal(draw(1).scores(), draw(2).scores())
