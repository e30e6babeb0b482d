from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from farzi_core.comparison_plan import TrainingKey
from farzi_core.distillation.setting import Setting, prepare_setting
from farzi_core.evaluation.cautions import find_cautions
from farzi_core.evaluation.comparison import Cell, Outcome
from farzi_core.evaluation.metrics import TextScores
from tests.farzi_core.markov import interactions, text, tiny_spec

RATIO = {"mean": 0.9, "low": 0.85, "high": 0.95}


@pytest.fixture(scope="module")
def setting() -> Setting:
    return prepare_setting(interactions(), tiny_spec(teacher={"num_steps": 100}, evaluation={"max_steps": 50}))


def cell(side: str, steps: list[int], validation: float) -> Cell:
    """Return a side whose students were best at these steps; no caution looks at test scores."""
    scores = TextScores(np.zeros(1), np.zeros(1, np.int64), np.ones(1, np.int64))
    outcomes = [
        Outcome(TrainingKey("sasrec", side, seed, None), 1.0, validation, step, 0.0, (), scores)
        for seed, step in enumerate(steps)
    ]
    return Cell(side, 0.01, tuple(outcomes))


def cells(full: list[int], distilled: list[int], validation: tuple[float, float] = (1.0, 0.9)) -> dict[str, Cell]:
    return {"full_data": cell("full_data", full, validation[0]), "distilled": cell("distilled", distilled, validation[1])}


@pytest.mark.parametrize(
    ("full", "distilled", "codes"),
    [
        ([90, 90, 90], [45, 45, 45], []),
        ([91, 100, 20], [10, 20, 30], ["full_data_still_improving"]),
        ([91, 90, 20], [10, 46, 47], ["summary_still_improving"]),
        ([100, 100, 100], [50, 50, 50], ["full_data_still_improving", "summary_still_improving"]),
    ],
)
def test_a_side_most_of_whose_students_were_best_at_the_end_was_not_trained_to_the_end(
    setting: Setting, full: list[int], distilled: list[int], codes: list[str]
) -> None:
    found = find_cautions(setting, "sasrec", cells(full, distilled), RATIO)
    assert [caution.code for caution in found] == codes
    assert all(caution.student == "sasrec" for caution in found)
    if "full_data_still_improving" in codes:
        assert f"{full[0]}, {full[1]}, {full[2]} of at most 100 steps" in found[0].message
        assert "raise teacher.num_steps" in found[0].message
    if "summary_still_improving" in codes:
        assert "of at most 50 steps" in found[-1].message
        assert "raise evaluation.max_steps" in found[-1].message


@pytest.mark.parametrize(
    ("distilled", "ratio", "is_told"),
    [
        (0.95, RATIO, False),
        (0.96, RATIO, True),
        (0.5, RATIO, False),  # a test that is better than validation promised deceives nobody
        (0.96, None, False),
    ],
)
def test_a_validation_that_promises_more_than_the_test_holds_is_told(
    setting: Setting, distilled: float, ratio: Any, is_told: bool
) -> None:
    found = find_cautions(setting, "sasrec", cells([10], [10], (1.0, distilled)), ratio)
    assert [caution.code for caution in found] == ["test_worse_than_validation"] * is_told
    if is_told:
        assert "0.960 of full data's ndcg@10, on the test 0.900 (0.850 to 0.950)" in found[0].message


def test_a_validation_of_zero_promises_nothing(setting: Setting) -> None:
    assert find_cautions(setting, "sasrec", cells([10], [10], (0.0, 0.5)), RATIO) == []


@pytest.mark.parametrize(("distilled", "is_told"), [(84.0, True), (86.0, False), (99.0, False)])
def test_of_perplexity_lower_is_the_promise(distilled: float, is_told: bool) -> None:
    setting = prepare_setting(text(), tiny_spec("language_modeling", teacher={"num_steps": 100}, evaluation={"max_steps": 50}))
    found = find_cautions(setting, "transformer_lm", cells([10], [10], (100.0, distilled)), RATIO)
    assert [caution.code for caution in found] == ["test_worse_than_validation"] * is_told
