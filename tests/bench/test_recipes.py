from __future__ import annotations

import json

import pytest

from bench.recipes import run
from bench.spec_arguments import parse_fields
from farzi_core.distillation.setting import prepare_setting
from tests.farzi_core.markov import interactions, tiny_spec


def test_fields_become_a_tree_and_what_is_no_json_a_string() -> None:
    fields = ["outer.lr=0.03", "outer.clip_norm=median", "seed=2", 'evaluation.baselines=["random"]']
    expected = {"outer": {"lr": 0.03, "clip_norm": "median"}, "seed": 2, "evaluation": {"baselines": ["random"]}}
    assert parse_fields(fields) == expected


def test_a_field_of_a_field_that_is_set_is_refused() -> None:
    with pytest.raises(ValueError, match="set one of the two"):
        parse_fields(["outer=3", "outer.lr=0.1"])


def test_a_run_judges_soft_tokens_and_hard_draws_on_validation() -> None:
    row = run(prepare_setting(interactions(), tiny_spec()), num_students=2, draws=[1, 3])
    assert json.loads(json.dumps(row)) == row
    assert list(row["students"]) == ["soft", "hard_1", "hard_3"]
    assert all(len(side["each"]) == 2 and 0.0 <= side["mean"] <= 1.0 for side in row["students"].values())
    assert row["curve"]
    assert row["distil_cpu_s"] > 0.0
