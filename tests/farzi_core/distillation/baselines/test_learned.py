from __future__ import annotations

from typing import Any

import pytest
import torch

from farzi_core.comparison_plan import list_learned_baselines
from farzi_core.config import Baseline
from farzi_core.distillation.baselines import LearnedBaseline, LearnedBaselines, ObjectiveValue
from farzi_core.distillation.baselines.series import OBJECTIVES
from farzi_core.distillation.outer_loop import OuterLoop
from farzi_core.distillation.outer_point import OuterPoint
from farzi_core.errors import NumericalError
from tests.farzi_core.distillation.baselines.prepared import ALL_LEARNED, make_baseline, point, prepare, start_probabilities
from tests.farzi_core.markov import tiny_spec


def run(baseline: LearnedBaseline) -> LearnedBaseline:
    while not baseline.finished:
        baseline.advance()
    return baseline


# Largest share of an objective's start that is left after 40 steps, on draws that were not descended.
BOUNDS: dict[Baseline, float] = {
    "gradient_matching": 0.85,
    "distribution_matching": 0.7,
    "trajectory_matching": 0.85,
    "first_order": 0.995,
}
SIZES: dict[str, Any] = {
    # A start behind events is at predictions already, which leaves an objective little to fall.
    "synthetic": {"num_sequences": 6, "sequence_length": 10, "inputs": "soft_tokens"},
    # Full steps of Adam, as trajectory matching counts on: over twelve events the default root would shorten them.
    "inner": {"num_steps": 12, "eps_root": 1e-8},
    "outer": {"num_steps": 40, "validate_every": 40, "batch_size": 64},
    "teacher": {"num_steps": 60, "lr": 0.01, "batch_size": 32},
    "baseline": {"trajectory_steps": 12},
}


@pytest.mark.parametrize("task", ["sequential_recommendation", "language_modeling"])
@pytest.mark.parametrize("name", ALL_LEARNED)
def test_the_objective_falls(name: Baseline, task: str) -> None:
    setting, teachers = prepare(task, **SIZES)
    objective = OBJECTIVES[name](setting, teachers)

    def mean_loss(probabilities: torch.Tensor) -> float:
        return sum(objective.evaluate(point(probabilities, step)).loss for step in range(1000, 1010)) / 10

    before = mean_loss(start_probabilities(setting, teachers))
    after = mean_loss(run(make_baseline(name, setting, teachers)).current.synthetic.probabilities())
    assert after < BOUNDS[name] * before


@pytest.mark.parametrize("name", ALL_LEARNED)
def test_resume_is_bit_equal(name: Baseline) -> None:
    setting, teachers = prepare(inner={"learn_lr": True, "batch_size": 2})
    expected = run(make_baseline(name, setting, teachers)).best
    stopped, resumed = (make_baseline(name, setting, teachers) for _ in range(2))
    stopped.advance()
    stopped.advance()
    resumed.restore(stopped.checkpoint())
    assert resumed.advance().step == 3
    found = run(resumed).best
    assert torch.equal(found.synthetic.logits(), expected.synthetic.logits())
    assert found.inner_lr == expected.inner_lr


def test_start_form_and_length_are_those_of_the_outer_loop() -> None:
    setting, teachers = prepare(synthetic={"parameterization": "tucker"})
    ours = OuterLoop(setting, teachers)
    baseline = make_baseline("distribution_matching", setting, teachers)
    assert torch.equal(baseline.best.synthetic.logits(), ours.best.synthetic.logits())
    assert baseline.best.synthetic.tensors().keys() == ours.best.synthetic.tensors().keys()
    steps = []
    while not baseline.finished:
        steps.append(baseline.advance())
    assert [step.step for step in steps] == [1, 2, 3, 4]
    assert [step.validation is not None for step in steps] == [False, True, False, True]


def test_a_baseline_can_have_its_own_length_and_rate() -> None:
    setting, teachers = prepare(baseline={"num_steps": 3, "lr": 1e-9})
    baseline = make_baseline("distribution_matching", setting, teachers)
    steps = []
    while not baseline.finished:
        steps.append(baseline.advance())
    assert [step.step for step in steps] == [1, 2, 3]
    assert steps[-1].validation is not None
    torch.testing.assert_close(baseline.best.synthetic.probabilities(), start_probabilities(setting, teachers))


def test_the_inner_learning_rate_is_learned_where_the_objective_depends_on_it() -> None:
    setting, teachers = prepare(inner={"learn_lr": True}, outer={"validate_every": 1})
    # Trajectory matching sets its own rate.
    rates = {name: run(make_baseline(name, setting, teachers)).best.inner_lr for name in ALL_LEARNED}
    assert rates.pop("first_order") != 0.02
    assert set(rates.values()) == {0.02}


@pytest.mark.parametrize("name", ["gradient_matching", "first_order"])
def test_inner_loops_go_on_with_a_pool_that_a_checkpoint_keeps(name: str) -> None:
    setting, teachers = prepare(outer={"pool_size": 2, "pool_max_steps": 20})
    whole, stopped, taken_up = (make_baseline(name, setting, teachers) for _ in range(3))
    for _ in range(2):
        stopped.advance()
    ages = stopped.checkpoint().part("pool").values["ages"]
    assert len(ages) == 2
    assert ages != [0, 10]
    taken_up.restore(stopped.checkpoint())
    assert torch.equal(run(whole).current.synthetic.logits(), run(taken_up).current.synthetic.logits())
    assert whole.checkpoint().part("pool").values["ages"] == taken_up.checkpoint().part("pool").values["ages"]


def test_what_is_not_finite_stops_a_baseline() -> None:
    setting, teachers = prepare()

    class Broken:
        pool = None
        has_lr_gradient = False

        def evaluate(self, point: OuterPoint) -> ObjectiveValue:
            return ObjectiveValue(float("nan"), torch.zeros_like(point.probabilities))

    with pytest.raises(NumericalError, match="objective is nan at outer step 1"):
        LearnedBaseline(setting, teachers, Broken()).advance()


def test_only_learned_baselines_are_learned_in_the_order_of_the_spec() -> None:
    spec = tiny_spec(evaluation={"baselines": ["first_order", "random", "gradient_matching", "head"]})
    assert list_learned_baselines(spec) == ("first_order", "gradient_matching")


def finish(baselines: LearnedBaselines) -> dict[str, Any]:
    while baselines.current is not None:
        baselines.advance()
    return {name: result.synthetic.logits() for name, result in baselines.results.items()}


@pytest.mark.parametrize("stop_at", [0, 2, 4, 6])
def test_a_series_resumes_in_the_middle_of_a_baseline(stop_at: int) -> None:
    names = ["distribution_matching", "trajectory_matching"]
    setting, teachers = prepare(evaluation={"baselines": names})
    expected = finish(LearnedBaselines(setting, teachers))
    stopped, resumed = LearnedBaselines(setting, teachers), LearnedBaselines(setting, teachers)
    for _ in range(stop_at):
        stopped.advance()
    resumed.restore(stopped.checkpoint())
    assert resumed.current == stopped.current == names[stop_at // 4]
    assert resumed.seconds == stopped.seconds
    found = finish(resumed)
    assert list(found) == list(expected) == names
    assert all(torch.equal(found[name], expected[name]) for name in names)
