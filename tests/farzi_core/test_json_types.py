"""Fields of a spec take values of their JSON type, and no text or boolean that could be taken for one."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from farzi_core.config import DistillationSpec
from farzi_core.data_options import ColumnMapping, DatasetOptions
from farzi_core.presets import PRESET_NAMES, get_preset, resolve_spec


@pytest.mark.parametrize(
    "overrides",
    [
        {"seed": True},
        {"seed": "1"},
        {"outer": {"num_steps": True}},
        {"outer": {"num_steps": "3"}},
        {"outer": {"clip_norm": "5"}},
        {"inner": {"learn_lr": "yes"}},
        {"inner": {"learn_lr": 1}},
        {"inner": {"lr": "0.1"}},
        {"inner": {"lr": True}},
        {"inner": {"betas": ["0.9", 0.95]}},
        {"evaluation": {"ks": ["5"]}},
        {"evaluation": {"hard_variants": [True]}},
        {"seed": 1.5},
    ],
)
def test_a_value_of_another_type_is_refused(overrides: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        resolve_spec("sequential_recommendation", overrides)


def test_what_json_has_no_type_for_is_taken() -> None:
    overrides = {
        "seed": 3.0,
        "inner": {"lr": 1, "betas": [0, 0.5]},
        "outer": {"clip_norm": 1, "num_steps": None},
        "evaluation": {"hard_variants": [1, "argmax"], "ks": [5, 10]},
    }
    spec = resolve_spec("sequential_recommendation", overrides)
    assert (spec.seed, spec.inner.lr, spec.inner.betas) == (3, 1.0, (0.0, 0.5))
    assert (type(spec.seed), type(spec.inner.lr)) == (int, float)
    assert spec.evaluation.hard_variants == (1, "argmax")


@pytest.mark.parametrize("name", PRESET_NAMES)
def test_a_spec_that_was_stored_is_read_again(name: Any) -> None:
    spec = get_preset("language_modeling", name)
    assert DistillationSpec.model_validate(spec.model_dump(mode="json")) == spec
    assert DistillationSpec.model_validate_json(spec.model_dump_json()) == spec


def test_options_and_columns() -> None:
    for wrong in ({"header": "true"}, {"header": 1}, {"min_item_events": True}, {"min_rating": "3"}):
        with pytest.raises(ValidationError):
            DatasetOptions.model_validate(wrong)
    with pytest.raises(ValidationError):
        ColumnMapping.model_validate({"user": True})
    mapping = ColumnMapping.model_validate({"user": "5", "item": 5})
    assert (mapping.user, mapping.item) == ("5", 5)
