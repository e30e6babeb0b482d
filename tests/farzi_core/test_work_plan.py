from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import get_args

import numpy as np
import pytest
import torch

from farzi_core.batch_sizes import describe_identity, divide_batches
from farzi_core.calibration import fit_non_negative, measure_machine
from farzi_core.comparison_plan import DISTILLED, TrainingKey
from farzi_core.config import LEARNED_BASELINES, Architecture, Baseline, DataSummary, DistillationSpec, Task
from farzi_core.costs import Calibration
from farzi_core.presets import get_preset, resolve_spec
from farzi_core.work_plan import StepTimes, WorkSize, expected_steps, plan_distillation, plan_evaluation

SIZE = WorkSize(vocab_size=100, num_validation_cases=100, num_test_cases=200, is_text=False)
QUICK = get_preset("sequential_recommendation", "quick")


def with_method(method: str, window: int | None) -> DistillationSpec:
    return resolve_spec("sequential_recommendation", {"preset": "quick", "meta_gradient": {"method": method, "window": window}})


def test_a_longer_window_costs_more_and_its_bound_is_the_inner_loop() -> None:
    def cost(method: str, window: int | None) -> float:
        return StepTimes(with_method(method, window), SIZE).outer_step

    assert cost("truncated", 6) < cost("truncated", 12) < cost("stored", None) < cost("checkpointed", None)
    assert cost("truncated", 10_000) == cost("stored", None)


@pytest.mark.parametrize("name", LEARNED_BASELINES)
def test_a_step_of_a_baseline_costs_less_than_one_that_differentiates_the_whole_loop(name: Baseline) -> None:
    times = StepTimes(with_method("stored", None), SIZE)
    assert 0 < times.baseline_step(name) < times.outer_step


@pytest.mark.parametrize("architecture", get_args(Architecture))
def test_whatever_grows_makes_a_student_slower(architecture: Architecture) -> None:
    student = {"architecture": architecture, "num_heads": 1}

    def cost(size: WorkSize = SIZE, **sizes: int) -> float:
        spec = resolve_spec("sequential_recommendation", {"preset": "quick", "student": {**student, **sizes}})
        return StepTimes(spec, size).real_step

    smallest = cost()
    assert cost(hidden_size=256) > smallest
    assert cost(num_layers=8) > smallest
    assert cost(max_length=200) > smallest
    assert cost(replace(SIZE, vocab_size=50_000)) > smallest
    assert cost(replace(SIZE, num_validation_cases=100_000)) > smallest


def test_short_histories_cost_less_where_real_data_are_trained_on() -> None:
    def times(mean_history: float) -> StepTimes:
        return StepTimes(QUICK, replace(SIZE, mean_history=mean_history))

    full, long, short, shorter = (times(mean) for mean in (inf, QUICK.student.max_length, 20.0, 4.0))
    assert full.real_step == long.real_step > short.real_step > shorter.real_step
    assert full.outer_step > shorter.outer_step, "of an outer step the real batch is a part"
    soft = TrainingKey(QUICK.student.architecture, DISTILLED, 0, 1.0)
    assert full.comparison_step(soft) == shorter.comparison_step(soft)


@pytest.mark.parametrize(("task", "mean"), [("sequential_recommendation", 8.0), ("language_modeling", inf)])
def test_the_mean_history_is_that_of_the_data_and_a_text_has_no_end(task: Task, mean: float) -> None:
    data = DataSummary(task, 50, 400, 100, 30)
    assert data.mean_history == WorkSize.of(data, QUICK).mean_history == mean


def test_a_longer_validation_costs_what_its_steps_cost() -> None:
    def times(steps: int | None) -> StepTimes:
        outer = {"validation_steps": steps}
        return StepTimes(resolve_spec("sequential_recommendation", {"preset": "quick", "outer": outer}), SIZE)

    short, long, longer = times(120), times(240), times(360)
    assert times(None).validation == short.validation, "unknown yet: that of the longest inner loop"
    assert longer.validation - long.validation == pytest.approx(long.validation - short.validation)
    every = QUICK.outer.validate_every
    assert long.outer_step - short.outer_step == pytest.approx((long.validation - short.validation) / every)
    distillation = {name: plan_distillation(QUICK, found)["distillation"] for name, found in (("short", short), ("long", long))}
    assert distillation["long"] > distillation["short"]


def test_inner_loops_that_grow_cost_less() -> None:
    def times(growth: float | None) -> StepTimes:
        spec = resolve_spec("sequential_recommendation", {"preset": "quick", "inner": {"growth": growth}})
        return StepTimes(spec, SIZE)

    at_once, half, whole = times(None).outer_step, times(0.5).outer_step, times(1.0).outer_step
    assert times(0.0).outer_step == at_once > half > whole
    assert at_once - whole == pytest.approx(2 * (at_once - half))
    for name in ("gradient_matching", "first_order"):
        assert times(1.0).baseline_step(name) < times(None).baseline_step(name)


def test_a_pool_costs_the_training_it_begins_with_and_is_begun_by_each_that_has_inner_loops() -> None:
    def spec(pool_size: int, pool_max_steps: int | None = None) -> DistillationSpec:
        overrides = {
            "outer": {"num_steps": 30, "pool_size": pool_size, "pool_max_steps": pool_max_steps},
            "inner": {"num_steps": 60, "min_steps": 40},
            "evaluation": {"baselines": ["gradient_matching", "distribution_matching", "first_order"]},
        }
        return resolve_spec("sequential_recommendation", {"preset": "quick", **overrides})

    def times(wanted: DistillationSpec) -> StepTimes:
        return StepTimes(wanted, SIZE)

    none, two = spec(0), spec(2, 600)
    assert times(none).pool == times(spec(1, 600)).pool == 0.0
    assert times(spec(2, 1200)).pool == pytest.approx(2 * times(two).pool)
    assert times(none).outer_step == times(two).outer_step
    without, with_pool = (plan_distillation(wanted, times(wanted)) for wanted in (none, two))
    for name in ("distillation", "gradient_matching", "first_order"):
        assert with_pool[name] - without[name] == pytest.approx(times(two).pool)
    assert with_pool["distribution_matching"] == without["distribution_matching"]


def test_the_plan_names_every_piece_of_work() -> None:
    planned = plan_distillation(QUICK, StepTimes(QUICK, SIZE))
    assert list(planned)[:3] == ["teacher", "distillation", "hard_sequences"]
    assert list(planned)[-1] == "artifacts"
    assert "sasrec/distilled/0/1.0" in planned
    assert all(seconds > 0 for seconds in planned.values())
    judged = plan_evaluation(QUICK, StepTimes(QUICK, SIZE))
    assert judged["teacher"] == 0.0, "only learned baselines need one"
    assert {name: planned[name] for name in judged if "/" in name} == {k: v for k, v in judged.items() if "/" in k}


def test_rules_that_need_no_teacher_cost_nothing_and_draws_cost_by_their_number() -> None:
    def planned(**hard_sequences: object) -> float:
        spec = resolve_spec("sequential_recommendation", {"preset": "quick", "hard_sequences": hard_sequences})
        return plan_distillation(spec, StepTimes(spec, SIZE))["hard_sequences"]

    assert planned(rule=[1, 0]) == 0.0
    few, many = planned(rule=[0, 2], prepared_draws=4), planned(rule=[0, 2], prepared_draws=12)
    assert many == pytest.approx(3 * few)
    assert planned() > planned(rule=[0, 2])


def test_expected_steps_are_bounded_by_the_longest_training() -> None:
    evaluation = QUICK.evaluation.model_copy(update={"max_steps": 400, "num_validations": 40, "patience": 5})
    assert expected_steps("hard", QUICK.model_copy(update={"evaluation": evaluation})) == 100
    impatient = evaluation.model_copy(update={"patience": 1000})
    assert expected_steps("distilled", QUICK.model_copy(update={"evaluation": impatient})) == 400
    assert expected_steps("full_data", QUICK) == QUICK.teacher.num_steps


def test_a_machine_is_measured_and_its_speeds_read_back() -> None:
    found = measure_machine(torch.device("cpu"), startup_s=1.0, report_s=2.0)
    assert Calibration.from_json(found.to_json()) == found
    for speed in found.speeds.values():
        assert speed.launch_s + speed.product_s + speed.element_s > 0
        assert min(speed.launch_s, speed.product_s, speed.element_s) >= 0
        assert speed.reverse_factor >= 1
        assert speed.look_factor > 0
    with pytest.raises(ValueError, match="no calibration"):
        Calibration.from_json({"speeds": {}})


def test_coefficients_are_found_and_never_negative() -> None:
    rows = np.array([[1.0, 0.0, 2.0], [0.0, 1e6, 1.0], [3.0, 2e6, 0.0], [1.0, 1e6, 1.0]])
    exact = np.array([0.5, 1e-6, 2.0])
    np.testing.assert_allclose(fit_non_negative(rows, rows @ exact), exact)
    assert (fit_non_negative(rows, rows @ np.array([0.5, -1e-6, 2.0])) >= 0).all()


def test_smaller_batches_are_the_same_job() -> None:
    half = divide_batches(QUICK, 2)
    assert (half.outer.batch_size, half.inner.batch_size) == (QUICK.outer.batch_size // 2, QUICK.synthetic.num_sequences // 2)
    assert half.teacher.batch_size == QUICK.teacher.batch_size // 2
    assert describe_identity(half) == describe_identity(QUICK)
    assert divide_batches(QUICK, 1) is QUICK
    assert divide_batches(half, 10**6).outer.batch_size == 1
