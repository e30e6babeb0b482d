from __future__ import annotations

import pytest

from farzi_core.config import LEARNED_BASELINES, Baseline
from farzi_core.presets import get_preset
from farzi_core.work import WorkMeter, baseline_step_cost, expected_synthetic_steps, outer_step_cost


def test_progress_rises_to_its_total() -> None:
    meter = WorkMeter({"a": 10.0, "b": 30.0}, unit=2.0)
    assert (meter.done, meter.total) == (0, 20)
    meter.add("a", 5.0)
    assert (meter.done, meter.total) == (2, 20)
    meter.add("a", 50.0)
    assert (meter.done, meter.total) == (5, 20)
    meter.add("b", 20.0)
    meter.finish("b")
    assert (meter.done, meter.total) == (15, 15)


def test_nearly_done_is_not_done() -> None:
    meter = WorkMeter({"a": 10.0}, unit=10.0)
    meter.add("a", 9.99)
    assert (meter.done, meter.total) == (0, 1)


def test_the_state_can_be_taken_up_again() -> None:
    meter = WorkMeter({"a": 10.0, "b": 30.0}, unit=2.0)
    meter.add("a", 4.0)
    values = meter.values()
    meter.add("b", 30.0)
    other = WorkMeter({"a": 10.0, "b": 30.0}, unit=2.0)
    other.restore(values)
    assert (other.done, other.total) == (2, 20)


def test_a_longer_window_costs_more_and_its_bound_is_the_inner_loop() -> None:
    spec = get_preset("sequential_recommendation", "quick")

    def cost(method: str, window: int | None) -> float:
        meta = spec.meta_gradient.model_copy(update={"method": method, "window": window})
        return outer_step_cost(spec.model_copy(update={"meta_gradient": meta}), num_cases=100, looks_per_validation=5)

    assert cost("truncated", 6) < cost("truncated", 12) < cost("stored", None)
    assert cost("truncated", 10_000) == cost("stored", None)


@pytest.mark.parametrize("name", LEARNED_BASELINES)
def test_a_step_of_a_baseline_costs_less_than_one_that_differentiates_the_whole_loop(name: Baseline) -> None:
    spec = get_preset("sequential_recommendation", "quick")
    exact = spec.model_copy(update={"meta_gradient": spec.meta_gradient.model_copy(update={"method": "stored"})})
    cost = baseline_step_cost(name, exact, num_cases=100, looks_per_validation=5)
    assert 0 < cost < outer_step_cost(exact, num_cases=100, looks_per_validation=5)


def test_more_matched_steps_cost_more() -> None:
    spec = get_preset("sequential_recommendation", "quick")

    def cost(num_steps: int) -> float:
        baseline = spec.baseline.model_copy(update={"trajectory_steps": num_steps})
        return baseline_step_cost("trajectory_matching", spec.model_copy(update={"baseline": baseline}), 100, 5)

    assert cost(24) > cost(12)


def test_expected_steps_are_bounded_by_the_longest_training() -> None:
    spec = get_preset("sequential_recommendation", "quick")
    evaluation = spec.evaluation.model_copy(update={"max_steps": 400, "num_validations": 40, "patience": 5})
    assert expected_synthetic_steps(spec.model_copy(update={"evaluation": evaluation})) == 100
    impatient = evaluation.model_copy(update={"patience": 1000})
    assert expected_synthetic_steps(spec.model_copy(update={"evaluation": impatient})) == 400
