"""What every student promises: causality, padding, embeddings, initialisation, dropout."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from farzi_core.config import Architecture, StudentConfig
from farzi_core.errors import ConfigError
from farzi_core.students import Student, build_student
from tests.farzi_core.students.conftest import CONFIGS, VOCAB_SIZE, Case


def encode_events(case: Case, events: torch.Tensor) -> torch.Tensor:
    embedded = case.student.embed_events(case.params, events)
    return case.student.encode(case.params, embedded, events >= 0)


def test_every_architecture_of_the_spec_is_built_and_tested() -> None:
    assert {config.architecture for config in CONFIGS.values()} == set(get_args(Architecture))


def test_hidden_state_depends_on_no_later_event_but_on_every_earlier_one(case: Case) -> None:
    events = torch.tensor([[1, 2, 3, 4, 5]])
    for changed in range(5):
        other = events.clone()
        other[0, changed] = 6
        difference = (encode_events(case, other) - encode_events(case, events)).abs().amax(-1)[0]
        assert torch.equal(difference[:changed], torch.zeros(changed, dtype=torch.float64))
        assert bool((difference[changed:] > 1e-6).all())


def test_left_padding_changes_no_hidden_state_of_a_real_event(case: Case) -> None:
    bare = torch.tensor([[3, 1, 4], [2, 2, 6]])
    padded = F.pad(bare, (4, 0), value=-1)
    torch.testing.assert_close(encode_events(case, padded)[:, 4:], encode_events(case, bare), rtol=1e-12, atol=1e-12)


def test_without_padding_no_mask_is_needed(case: Case) -> None:
    embedded = case.student.embed_probabilities(case.params, case.probabilities)
    masked = case.student.encode(case.params, embedded, torch.ones(3, 5, dtype=torch.bool))
    torch.testing.assert_close(case.student.encode(case.params, embedded), masked, rtol=1e-12, atol=1e-12)


def test_padded_queries_and_empty_histories_stay_finite_in_values_and_gradients(case: Case) -> None:
    events = torch.full((2, 5), -1)
    events[0, 4] = 3
    for value in case.params.values():
        value.requires_grad_()
    hidden = encode_events(case, events)
    assert bool(torch.isfinite(hidden).all())
    grads = torch.autograd.grad(hidden.sum(), list(case.params.values()), allow_unused=True)
    assert all(bool(torch.isfinite(grad).all()) for grad in grads if grad is not None)


def test_hard_ids_embed_like_one_hot_soft_tokens_and_padding_as_zero(case: Case) -> None:
    hard = case.student.embed_events(case.params, case.events)
    one_hot = F.one_hot(case.events.clamp(min=0), VOCAB_SIZE).double() * (case.events >= 0).unsqueeze(-1)
    torch.testing.assert_close(hard, case.student.embed_probabilities(case.params, one_hot), rtol=1e-12, atol=0)
    assert not bool(hard[case.events < 0].any())


def test_logits_are_tied_to_the_event_table(case: Case) -> None:
    hidden = torch.randn(2, 3, case.student.config.hidden_size, dtype=torch.float64)
    table = case.student.event_table(case.params)
    assert table.shape == (VOCAB_SIZE, case.student.config.hidden_size)
    torch.testing.assert_close(case.student.event_logits(case.params, hidden), hidden @ table.T)
    torch.testing.assert_close(case.student.embed_probabilities(case.params, case.probabilities), case.probabilities @ table)


def test_two_heads_differ_from_one() -> None:
    outputs = []
    for num_heads in (1, 2):
        config = StudentConfig(hidden_size=4, num_heads=num_heads, max_length=5)
        student = build_student(config, VOCAB_SIZE)
        params = student.init_params(torch.Generator().manual_seed(0), torch.float64)
        params = {name: value + 0.1 * torch.arange(value.numel()).view(value.shape).cos() for name, value in params.items()}
        outputs.append(student.encode(params, student.embed_events(params, torch.tensor([[1, 2, 3, 4, 5]]))))
    assert float((outputs[0] - outputs[1]).abs().max()) > 1e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_seeded_initialisations_are_bitwise_equal_small_and_of_the_asked_dtype(case: Case, dtype: torch.dtype) -> None:
    def init(seed: int) -> dict[str, torch.Tensor]:
        return case.student.init_params(torch.Generator().manual_seed(seed), dtype)

    first, again, other = init(3), init(3), init(4)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["event_embedding"], other["event_embedding"])
    assert {value.dtype for value in first.values()} == {dtype}
    assert float(first["event_embedding"].abs().max()) < 0.1


def test_initialisation_leaves_the_global_generator_alone(case: Case) -> None:
    state = torch.get_rng_state()
    case.student.init_params(torch.Generator().manual_seed(0), torch.float32)
    assert torch.equal(state, torch.get_rng_state())


def encode_with_dropout(case: Case, seed: int | None) -> torch.Tensor:
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    embedded = case.student.embed_probabilities(case.params, case.probabilities)
    return case.student.encode(case.params, embedded, dropout_generator=generator)


@pytest.mark.parametrize("case", ["sasrec", "gru4rec", "fmlp", "narm", "lm", "lstm"], indirect=True)
def test_dropout_needs_a_generator_and_is_replayed_by_its_seed(case: Case) -> None:
    assert torch.equal(encode_with_dropout(case, None), encode_with_dropout(case, None))
    assert torch.equal(encode_with_dropout(case, 1), encode_with_dropout(case, 1))
    assert not torch.equal(encode_with_dropout(case, 1), encode_with_dropout(case, 2))
    assert not torch.equal(encode_with_dropout(case, 1), encode_with_dropout(case, None))


@pytest.mark.parametrize("case", ["sasrec-heads"], indirect=True)
def test_a_generator_without_a_dropout_rate_changes_nothing(case: Case) -> None:
    assert torch.equal(encode_with_dropout(case, 1), encode_with_dropout(case, None))


def test_a_cache_filled_in_inference_mode_serves_training(case: Case) -> None:
    events = torch.tensor([[1, 2, 3, 4, 5, 6, 0, 1]])
    with torch.inference_mode():
        expected = encode_events(case, events).clone()
    for value in case.params.values():
        value.requires_grad_()
    hidden = encode_events(case, events)
    torch.autograd.grad(hidden.sum(), list(case.params.values()))
    torch.testing.assert_close(hidden.detach(), expected)


def build(**changes: object) -> Student:
    return build_student(StudentConfig.model_validate(changes), VOCAB_SIZE)


@pytest.mark.parametrize("architecture", ["sasrec", "fmlp"])
def test_histories_longer_than_the_parameters_reach_are_refused_with_the_remedy(architecture: str) -> None:
    student = build(architecture=architecture, hidden_size=4, max_length=3)
    params = student.init_params(torch.Generator().manual_seed(0), torch.float32)
    with pytest.raises(ConfigError, match=r"4 events .* at most 3; keep the last max_length"):
        student.encode(params, torch.zeros(1, 4, 4))


def test_odd_rotary_heads_are_refused_with_the_remedy() -> None:
    with pytest.raises(ConfigError, match=r"heads of width 3.*change hidden_size or num_heads"):
        build(architecture="transformer_lm", hidden_size=6, num_heads=2)


def test_a_vocabulary_of_one_event_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 2 events"):
        build_student(StudentConfig(), 1)
