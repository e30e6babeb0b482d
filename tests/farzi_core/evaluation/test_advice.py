from __future__ import annotations

from statistics import median
from typing import Any

import pytest

from farzi_core.distillation.descent import Distilled
from farzi_core.distillation.setting import prepare_setting
from farzi_core.distillation.start import make_start
from farzi_core.evaluation.advice import advise
from farzi_core.evaluation.comparison import Comparison
from farzi_core.evaluation.sides import Sides
from farzi_core.evaluation.training import HardData
from tests.farzi_core.markov import interactions, tiny_spec


@pytest.mark.parametrize(
    ("evaluation", "side", "draws"),
    [
        ({"hard_draws": 4, "hard_variants": [1]}, "hard", 4),
        ({"hard_draws": 2, "hard_variants": ["argmax", 4]}, "hard_4", 4),
        ({"hard_draws": 2, "hard_variants": [1]}, "hard", 2),
    ],
)
def test_the_advice_is_what_students_of_the_published_draws_did(evaluation: dict[str, Any], side: str, draws: int) -> None:
    evaluation = {**evaluation, "lr_factors": [0.5, 2.0], "baselines": []}
    spec = tiny_spec(student={"dropout": 0.1}, synthetic={"init": "random"}, evaluation=evaluation)
    setting = prepare_setting(interactions(), spec)
    distilled = Distilled(make_start(setting, []), 0.02)
    comparison = Comparison(setting, distilled)
    while not comparison.finished:
        comparison.advance()
    advice = advise(setting, comparison, distilled)
    hard = advice.pop("hard_sequences")
    for shown, name in ((advice, "distilled"), (hard, side)):
        cell = comparison.cells("sasrec")[name]
        adam = setting.inner_adam(cell.lr)
        assert (shown["optimizer"], shown["lr"], shown["dropout"]) == ("adam", cell.lr, 0.1)
        assert (shown["betas"], shown["eps"], shown["eps_root"]) == (list(adam.betas), adam.eps, adam.eps_root)
        assert shown["num_steps"] == round(median(outcome.best_step for outcome in cell.outcomes))
    assert (advice["student"], advice["inner_lr"], advice["batch_size"]) == ("sasrec", 0.02, 3)
    data = Sides(setting, distilled, {}).data(side)
    assert isinstance(data, HardData)
    assert (hard["draws"], hard["batch_size"]) == (draws, data.batch_size)
