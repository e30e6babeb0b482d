from __future__ import annotations

import pytest

from farzi_core.distillation.descent import Distilled
from farzi_core.distillation.setting import Setting, prepare_setting
from farzi_core.distillation.start import make_start
from farzi_core.distillation.teachers import TeacherTraining
from farzi_core.evaluation.comparison import Comparison, list_trainings
from farzi_core.evaluation.metrics import summarise
from tests.farzi_core.markov import interactions, tiny_spec

SIDES = ["full_data", "distilled", "hard", "random"]


def prepare(**evaluation: object) -> tuple[Setting, Distilled]:
    setting = prepare_setting(interactions(), tiny_spec(evaluation=evaluation))
    teacher = TeacherTraining(setting, 0)
    while not teacher.finished:
        teacher.advance()
    return setting, Distilled(make_start(setting, [teacher.trajectory()]), 0.02)


def run(comparison: Comparison) -> dict[str, list[dict[str, float]]]:
    while not comparison.finished:
        comparison.advance()
    cells = comparison.cells("sasrec")
    return {side: [summarise(outcome.scores) for outcome in cell.outcomes] for side, cell in cells.items()}


def test_every_side_has_every_seed() -> None:
    setting, distilled = prepare(num_seeds=3)
    results = run(Comparison(setting, distilled))
    assert list(results) == SIDES
    for tables in results.values():
        assert len(tables) == 3
        assert tables[0] != tables[1]
        assert set(tables[0]) == {"hr@5", "hr@10", "ndcg@5", "ndcg@10", "mrr", "auc"}


def test_validation_chooses_the_learning_rate_of_every_side() -> None:
    setting, distilled = prepare(lr_factors=[1e-6, 1.0, 1e-6], num_seeds=2)
    assert len(list_trainings(setting)) == 4 * (2 + 1)  # two distinct factors with seed 0, then seed 1
    comparison = Comparison(setting, distilled)
    run(comparison)
    for side, cell in comparison.cells("sasrec").items():
        base = setting.spec.teacher.lr if side == "full_data" else 0.02
        assert cell.lr == base, side
        assert [outcome.key.seed for outcome in cell.outcomes] == [0, 1]
        assert {outcome.lr_factor for outcome in cell.outcomes} == {1.0}


def test_no_baselines_leaves_the_three_sides() -> None:
    setting, distilled = prepare(baselines=[], num_seeds=1)
    assert list(run(Comparison(setting, distilled))) == SIDES[:3]


@pytest.mark.parametrize("stop_at", [1, 13, 30])
def test_resume_is_bit_equal(stop_at: int) -> None:
    setting, distilled = prepare()
    expected = run(Comparison(setting, distilled))
    stopped, resumed = Comparison(setting, distilled), Comparison(setting, distilled)
    for _ in range(stop_at):
        stopped.advance()
    resumed.restore(stopped.checkpoint())
    assert resumed.checkpoint().values == stopped.checkpoint().values
    assert run(resumed) == expected
