from __future__ import annotations

import json

import pytest

from bench.hard_rules import measure, parse_rule
from farzi_core.distillation.setting import prepare_setting
from farzi_core.hard_rules import RULES
from tests.farzi_core.markov import interactions, tiny_spec


@pytest.mark.parametrize("from_start", [True, False])
def test_every_rule_is_judged_on_as_many_draws(from_start: bool) -> None:
    setting = prepare_setting(interactions(), tiny_spec())
    found = measure(setting, list(RULES), draws=2, num_seeds=2, from_start=from_start)
    assert json.loads(json.dumps(found)) == found
    assert [tuple(row["rule"]) for row in found["rules"]] == list(RULES)
    assert len(found["teachers"]) == setting.spec.teacher.num_trajectories
    assert len({row["validation"] for row in found["rules"]}) > 1
    assert all(0.0 < student["test"] < 1.0 for row in found["rules"] for student in row["students"])


def test_a_rule_is_two_or_three_numbers() -> None:
    assert parse_rule("0.5,1.5") == (0.5, 1.5, 0.0)
    assert parse_rule("0,2,1") == (0.0, 2.0, 1.0)
    with pytest.raises(TypeError, match="missing 1 required"):
        parse_rule("2")
