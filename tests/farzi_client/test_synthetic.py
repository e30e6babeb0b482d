"""The client reads the synthetic data file as the core writes it, in every form, and trains on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from farzi_client import FarziClientError, IntegrityError
from farzi_client.synthetic import ArrayLibrary, SyntheticData, read_synthetic
from farzi_client.training import Adam, train_student
from farzi_core.artifacts import SyntheticFile, write_synthetic
from farzi_core.sequence_files import hash_vocabulary, write_vocabulary
from farzi_core.soft_tokens import read_soft_tokens
from farzi_core.synthetic.parameterizations import restore_synthetic

S, L, V = 8, 9, 6
TOKENS = tuple(f"i{number}" for number in range(V))
TRAINING = {
    "optimizer": "adam", "lr": 0.02, "inner_lr": 0.02, "betas": [0.9, 0.99], "eps": 1e-8, "eps_root": 1e-8,
    "dropout": 0.0, "batch_size": 4, "num_steps": 80,
}  # fmt: skip
SIZES: dict[str, dict[str, tuple[int, ...]]] = {
    "factorized": {"latents": (S, L, 3), "token_decoder": (3, V)},
    "tucker": {"core": (2, 4, 3), "sequence_factors": (S, 2), "position_factors": (L, 4), "token_decoder": (3, V)},
    "free": {"token_scores": (S, L, V)},
}


def random_tensors(form: str) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(size, generator=generator) for name, size in SIZES[form].items()}


def write(directory: Path, form: str, tensors: dict[str, Tensor], **training: Any) -> tuple[Path, Path]:
    content = SyntheticFile(
        restore_synthetic(form, tensors, 0.7), "sequential_recommendation", hash_vocabulary(TOKENS), {**TRAINING, **training}
    )
    write_vocabulary(TOKENS, directory / "vocabulary.json")
    write_synthetic(content, directory / "synthetic.safetensors")
    return directory / "synthetic.safetensors", directory / "vocabulary.json"


@pytest.mark.parametrize("learned_temperature", [False, True])
@pytest.mark.parametrize("form", SIZES)
def test_every_form_is_read_as_the_core_reads_it(tmp_path: Path, form: str, learned_temperature: bool) -> None:
    tensors = random_tensors(form) | ({"log_temperature": torch.tensor(0.4)} if learned_temperature else {})
    paths = write(tmp_path, form, tensors)
    expected = np.stack([read_soft_tokens(paths[0]).sequence(number) for number in range(S)])
    libraries: tuple[ArrayLibrary, ...] = ("torch", "numpy")
    for library in libraries:
        found = read_synthetic(*paths, library)
        assert (found.shape, found.vocabulary, found.input_events) == ((S, L, V), TOKENS, None)
        assert found.hard_training is None, "a file of an earlier release"
        np.testing.assert_allclose(np.asarray(found.probabilities()), expected, atol=1e-5)


def ring(kind: str) -> dict[str, Tensor]:
    """Return sequences that walk round the events one by one: shown and asked for, or shown as events and asked for softly."""
    events = (torch.arange(S)[:, None] + torch.arange(L)) % V
    sharp = 6.0 * torch.nn.functional.one_hot(events, V)
    if kind == "soft_tokens":
        return {"token_scores": sharp.float()}
    return {"token_scores": 0.3 * sharp.float(), "input_events": events.to(torch.int32)}


@pytest.fixture(params=["soft_tokens", "sampled_events"])
def walk(request: pytest.FixtureRequest, tmp_path: Path) -> SyntheticData:
    return read_synthetic(*write(tmp_path, "free", ring(request.param)))


def test_a_student_learns_either_kind_by_the_recipe(walk: SyntheticData) -> None:
    steps: list[int] = []
    student = train_student(walk, hidden_size=16, on_step=lambda step, _: steps.append(step))
    assert steps == list(range(1, 81))
    assert [student.predict([name], 1)[0][0] for name in TOKENS] == [*TOKENS[1:], TOKENS[0]]
    assert not student.training
    probabilities = [share for _, share in student.predict(["i0", "nobody", "i1"], 100)]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1.0, abs=1e-5)
    assert len(probabilities) == V


def test_dropout_is_of_the_recipe_and_follows_the_seed(tmp_path: Path) -> None:
    tensors = ring("soft_tokens")
    found = {}
    for dropout in (0.0, 0.5):
        data = read_synthetic(*write(tmp_path, "free", tensors, dropout=dropout))
        found[dropout] = [next(train_student(data, hidden_size=4, num_steps=3, seed=2).parameters()) for _ in range(2)]
        assert torch.equal(*found[dropout])
    assert not torch.equal(found[0.0][0], found[0.5][0])


def test_the_optimiser_is_torchs_where_nothing_is_under_the_root() -> None:
    one, other = (torch.nn.Parameter(torch.linspace(-1, 1, 5, dtype=torch.float64)) for _ in range(2))
    ours = Adam([one], lr=0.1, betas=(0.9, 0.99), eps=1e-8, eps_root=0.0)
    torchs = torch.optim.Adam([other], lr=0.1, betas=(0.9, 0.99), eps=1e-8)
    for _ in range(20):
        for param, optimizer in ((one, ours), (other, torchs)):
            optimizer.zero_grad()
            (param**2 - param.sin()).sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    torch.testing.assert_close(one, other)


def test_training_says_what_is_wrong(tmp_path: Path) -> None:
    paths = write(tmp_path, "free", ring("soft_tokens"))
    with pytest.raises(FarziClientError, match="library='torch'"):
        train_student(read_synthetic(*paths, "numpy"))
    with pytest.raises(FarziClientError, match="lower lr"):
        train_student(read_synthetic(*paths), lr=float("nan"))
    with pytest.raises(FarziClientError, match="vocabulary"):
        train_student(read_synthetic(*paths), num_steps=1).predict(["nobody"])
    with pytest.raises(FarziClientError, match="'torch' tensors or as 'numpy'"):
        read_synthetic(*paths, "jax")  # type: ignore[arg-type]


def test_files_that_do_not_belong_together_or_are_cut_are_refused(tmp_path: Path) -> None:
    synthetic, vocabulary = write(tmp_path, "free", ring("soft_tokens"))
    write_vocabulary(TOKENS[::-1], vocabulary)
    with pytest.raises(IntegrityError, match="not the vocabulary"):
        read_synthetic(synthetic, vocabulary)
    synthetic.write_bytes(synthetic.read_bytes()[:100])
    with pytest.raises(IntegrityError, match="cannot be read"):
        read_synthetic(synthetic, vocabulary)
