from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from farzi_core.artifacts import SyntheticFile, write_synthetic
from farzi_core.errors import ArtifactError
from farzi_core.seeding import derive_generator
from farzi_core.soft_tokens import SoftTokens, read_soft_tokens
from farzi_core.synthetic.base import Synthetic
from farzi_core.synthetic.factorized import FactorizedSynthetic
from farzi_core.synthetic.free import FreeSynthetic
from farzi_core.synthetic.hard import draw_hard_sequences, sample_hard_sequences
from farzi_core.synthetic.tucker import TuckerSynthetic


def rand(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=derive_generator(sum(shape), "soft_tokens"))


FORMS: list[Synthetic] = [
    FactorizedSynthetic(rand(4, 6, 5), rand(5, 30), temperature=0.5),
    FactorizedSynthetic(rand(4, 6, 5), rand(5, 30), temperature=0.3).with_learned_temperature(),
    TuckerSynthetic(rand(2, 3, 5), rand(4, 2), rand(6, 3), rand(5, 30), temperature=0.7),
    FreeSynthetic(rand(4, 6, 30)),
]


def write(synthetic: Synthetic, directory: Path, hard_seed: int = 11) -> SoftTokens:
    content = SyntheticFile(synthetic, "sequential_recommendation", "00", hard_seed=hard_seed)
    return read_soft_tokens(write_synthetic(content, directory / "synthetic.safetensors").path)


@pytest.mark.parametrize("synthetic", FORMS, ids=lambda synthetic: synthetic.parameterization)
def test_soft_tokens_are_those_of_torch(synthetic: Synthetic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = write(synthetic, tmp_path)
    assert found.shape == synthetic.shape
    expected = synthetic.with_tensors({name: tensor.double() for name, tensor in synthetic.tensors().items()}).probabilities()
    np.testing.assert_allclose(np.concatenate(list(found.blocks())), expected.flatten(0, 1).numpy(), rtol=1e-12)
    monkeypatch.setattr("farzi_core.soft_tokens._BLOCK_NUMBERS", 100)
    assert len(list(found.blocks())) == 8
    np.testing.assert_allclose(found.sequence(2), expected[2].numpy(), rtol=1e-12)
    np.testing.assert_allclose(found.sequence(3, 4), expected[3, :4].numpy(), rtol=1e-12)
    np.testing.assert_allclose(np.concatenate(list(found.blocks())), expected.flatten(0, 1).numpy(), rtol=1e-12)


@pytest.mark.parametrize("synthetic", FORMS, ids=lambda synthetic: synthetic.parameterization)
def test_hard_sequences_are_those_of_torch(synthetic: Synthetic, tmp_path: Path) -> None:
    found = write(synthetic, tmp_path)
    in_torch = sample_hard_sequences(synthetic.probabilities().double(), 3, 11)
    assert np.array_equal(found.draw(3), in_torch.numpy())


def test_more_draws_begin_with_the_published_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = write(FORMS[0], tmp_path)
    published = found.draw(4)
    assert np.array_equal(found.draw(9)[: len(published)], published)
    assert np.array_equal(found.draw(1), published[:4])
    assert not np.array_equal(found.draw(4, seed=12), published)
    monkeypatch.setattr("farzi_core.soft_tokens._BLOCK_NUMBERS", 31)
    assert np.array_equal(found.draw(4), published)


def test_the_first_draw_is_the_input_events(tmp_path: Path) -> None:
    events = torch.arange(24).reshape(4, 6)
    synthetic = replace(FORMS[0], input_events=events)
    found = write(synthetic, tmp_path)
    assert np.array_equal(found.draw(1), events.numpy())
    assert np.array_equal(found.draw(3, seed=5)[:4], events.numpy())
    assert np.array_equal(found.draw(3)[4:], write(FORMS[0], tmp_path).draw(3)[4:])
    assert np.array_equal(found.draw(3), draw_hard_sequences(synthetic, 3, 11).numpy())


def test_prepared_draws_come_before_those_of_the_soft_tokens(tmp_path: Path) -> None:
    prepared = torch.arange(3 * 24).reshape(3, 4, 6) % 30
    inputs = torch.arange(24).reshape(4, 6)
    synthetic = replace(FORMS[0], prepared_draws=prepared, input_events=inputs)
    found = write(synthetic, tmp_path)
    published = found.draw(2)
    assert published.dtype == np.int32
    assert np.array_equal(found.draw(5)[:8], published)
    assert np.array_equal(found.draw(5), draw_hard_sequences(synthetic, 5, 11).numpy())
    assert np.array_equal(found.draw(5)[12:], write(FORMS[0], tmp_path).draw(5)[12:])
    assert not np.array_equal(found.draw(2, seed=12), published)
    assert sorted(map(tuple, found.draw(3).tolist())) == sorted(map(tuple, prepared.flatten(0, 1).tolist()))


def test_scores_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    scores = rand(2, 3, 4)
    scores[1, 1, 1] = torch.nan
    with pytest.raises(ArtifactError, match="not finite"):
        write(FreeSynthetic(scores), tmp_path).draw(1)
