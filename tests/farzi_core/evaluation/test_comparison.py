from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from farzi_core.comparison_plan import list_trainings, name_side
from farzi_core.distillation.descent import Distilled
from farzi_core.distillation.setting import Setting, prepare_setting
from farzi_core.distillation.start import make_start
from farzi_core.distillation.teachers import TeacherTraining
from farzi_core.evaluation.comparison import Comparison
from farzi_core.evaluation.metrics import summarise
from farzi_core.evaluation.sides import Sides
from farzi_core.evaluation.training import HardData, RealData
from farzi_core.seeding import derive_generator
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
    assert len(list_trainings(setting.spec)) == 4 * (2 + 1)  # two distinct factors with seed 0, then seed 1
    comparison = Comparison(setting, distilled)
    run(comparison)
    for side, cell in comparison.cells("sasrec").items():
        base = setting.spec.teacher.lr if side == "full_data" else 0.02
        assert cell.lr == base, side
        assert [outcome.key.seed for outcome in cell.outcomes] == [0, 1]
        assert {outcome.lr_factor for outcome in cell.outcomes} == {1.0}


def test_hard_sequences_have_as_many_sides_as_are_asked_for() -> None:
    setting, distilled = prepare(baselines=[], num_seeds=1, hard_draws=2, hard_variants=[1, 2, "argmax", 5])
    comparison = Comparison(setting, distilled)
    run(comparison)
    sizes = {side: size.sequences for side, size in comparison.sizes().items()}
    assert list(sizes) == ["full_data", "distilled", "hard", "hard_1", "hard_argmax", "hard_5"]
    assert (sizes["hard"], sizes["hard_1"], sizes["hard_argmax"], sizes["hard_5"]) == (6, 3, 3, 15)


def test_the_sides_of_hard_sequences_are_what_their_names_say() -> None:
    setting, distilled = prepare(hard_variants=[1, "argmax"], noise_levels=[0.5])
    sides = Sides(setting, distilled, {})

    def events(side: str) -> torch.Tensor:
        data = sides.data(side)
        assert isinstance(data, HardData)
        return data.events

    assert torch.equal(events("hard")[:3], events("hard_1"))
    assert torch.equal(events("hard_argmax"), distilled.synthetic.probabilities().argmax(-1))
    changed = (events("hard_noise_50") != events("hard")).double().mean().item()
    assert 0.3 < changed < 0.6
    assert name_side("hard_noise_50", setting.spec) == "hard sequences, 4 draws, 50 % noise"


def test_noise_disturbs_training_data_and_nothing_else() -> None:
    setting, distilled = prepare(noise_levels=[0.125])
    before = setting.split.train.events.copy()
    data = Sides(setting, distilled, {}).data("full_data_noise_12.5")
    assert isinstance(data, RealData)
    drawn = data.sequences.draw(2000, 10, derive_generator(0))
    clean = setting.real.draw(2000, 10, derive_generator(0))
    assert torch.equal(drawn >= 0, clean >= 0)
    kept = clean >= 0
    assert (drawn != clean)[kept].double().mean().item() == pytest.approx(0.125 * 11 / 12, abs=0.03)
    assert np.array_equal(setting.split.train.events, before)


@pytest.mark.parametrize(("field", "values"), [("hard_variants", [1, 1]), ("noise_levels", [0.1, 0.1])])
def test_a_side_is_named_once(field: str, values: list[float]) -> None:
    with pytest.raises(ValidationError, match="more than once"):
        tiny_spec(evaluation={field: values})


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
