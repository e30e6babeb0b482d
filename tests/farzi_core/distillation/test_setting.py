from __future__ import annotations

from typing import Any

import pytest
import torch

from farzi_core.distillation.setting import prepare_setting
from farzi_core.errors import ConfigError, DataError
from tests.farzi_core.markov import interactions, make_dataset, text, tiny_spec


@pytest.mark.parametrize(
    ("overrides", "pointer"),
    [
        ({"synthetic": {"num_sequences": 61}}, "/synthetic/num_sequences"),
        ({"synthetic": {"sequence_length": 30}, "student": {"max_length": 40}}, "/synthetic/sequence_length"),
        ({"student": {"architecture": "transformer_lm"}}, "/student/architecture"),
    ],
)
def test_a_spec_beyond_the_data_is_refused(overrides: dict[str, Any], pointer: str) -> None:
    with pytest.raises(ConfigError) as caught:
        prepare_setting(interactions(), tiny_spec(**overrides))
    assert caught.value.pointer == pointer


def test_sequences_that_cannot_be_split_are_refused() -> None:
    short = make_dataset([[0, 1, 2, 3, 4, 5, 6, 7][i % 3 : i % 3 + 2] for i in range(9)], 8)
    with pytest.raises(DataError, match="longer sequences"):
        prepare_setting(short, tiny_spec(synthetic={"sequence_length": 2}))


def test_sequences_that_leave_no_pair_are_refused_as_data_and_not_as_a_spec() -> None:
    with pytest.raises(DataError, match="nothing to learn from") as caught:
        prepare_setting(make_dataset([[0, 1, 2]] * 9, 8), tiny_spec(synthetic={"sequence_length": 2}))
    assert caught.value.code == "sequences_too_short"


def test_a_synthetic_sequence_is_no_longer_than_what_is_trained_on() -> None:
    dataset = make_dataset([[0, 1, 2, 3, 4, 5]] * 9, 8)
    setting = prepare_setting(dataset, tiny_spec(synthetic={"sequence_length": 4}))
    assert setting.real.pick_whole(2, 4, torch.Generator()).tolist() == [[0, 1, 2, 3]] * 2
    longer = tiny_spec(synthetic={"sequence_length": 5})
    with pytest.raises(ConfigError, match="choose at most 4") as caught:
        prepare_setting(dataset, longer)
    assert caught.value.pointer == "/synthetic/sequence_length"
    assert prepare_setting(dataset, longer, distilled=True).spec.synthetic.sequence_length == 5


def test_an_open_length_fits_the_data_and_a_rank_above_it_is_refused() -> None:
    dataset = make_dataset([[0, 1, 2, 3, 4, 5]] * 9, 8)
    open_length: dict[str, Any] = {"sequence_length": None, "parameterization": "tucker"}
    assert prepare_setting(dataset, tiny_spec(synthetic=open_length)).spec.synthetic.sequence_length == 4
    with pytest.raises(ConfigError, match="a rank of 5 over positions was asked for, but these data want 4") as caught:
        prepare_setting(dataset, tiny_spec(synthetic=open_length | {"tucker_ranks": [3, 5, 8]}))
    assert caught.value.pointer == "/synthetic/tucker_ranks"


@pytest.mark.parametrize("last", [[[0, 1, 2], [3]], [[0], [1, 2, 3]]])
def test_a_held_out_text_of_one_event_is_refused_before_any_work(last: list[list[int]]) -> None:
    dataset = make_dataset([*[[0, 1, 2, 3, 4]] * 20, *last], 8, "language_modeling", num_validation=1, num_test=1)
    with pytest.raises(DataError, match="hold 1 event;") as caught:
        prepare_setting(dataset, tiny_spec("language_modeling", student={"architecture": "transformer_lm"}))
    assert caught.value.code == "text_too_short"


def test_repeats_are_decided_from_the_data() -> None:
    repeating = make_dataset([[i % 8, (i + 1) % 8] * 6 for i in range(20)], 8)
    fresh = make_dataset([[(i + j) % 30 for j in range(10)] for i in range(20)], 30)
    assert prepare_setting(repeating, tiny_spec()).repeats_allowed
    assert prepare_setting(repeating, tiny_spec()).repeat_share == 1.0
    assert not prepare_setting(fresh, tiny_spec()).repeats_allowed
    assert prepare_setting(fresh, tiny_spec(evaluation={"repeats_allowed": True})).repeats_allowed
    assert not prepare_setting(repeating, tiny_spec(evaluation={"repeats_allowed": False})).repeats_allowed


def test_validation_is_a_seeded_subset_and_the_test_is_whole() -> None:
    spec = tiny_spec(evaluation={"max_validation_cases": 7})
    setting = prepare_setting(interactions(), spec)
    assert setting.validation.num_cases == 7
    assert setting.test_cases().num_cases == 60


def test_text_is_measured_by_perplexity_in_the_precision_asked_for() -> None:
    setting = prepare_setting(
        text(), tiny_spec("language_modeling", student={"architecture": "transformer_lm"}, precision="float64")
    )
    assert (setting.metric, setting.repeat_share, setting.dtype) == ("perplexity", None, torch.float64)


def test_the_root_of_the_inner_optimiser_follows_the_vocabulary_unless_it_is_given() -> None:
    data = interactions()
    assert prepare_setting(data, tiny_spec()).inner_adam().eps_root == pytest.approx((1 / (3 * data.vocab_size)) ** 2)
    assert prepare_setting(data, tiny_spec(inner={"eps_root": 1e-7})).inner_adam().eps_root == 1e-7
