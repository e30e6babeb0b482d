"""Schedules, random windows, memory budgets, and random numbers drawn by a loss."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  torch's own idiom

from farzi_core.errors import ConfigError
from farzi_core.metagrad import AdamConfig
from farzi_core.metagrad.budget import plan_checkpointed, plan_stored, stored_bytes
from tests.farzi_core.metagrad.conftest import PROBLEMS, SHARP, SMOOTH, Problem, largest_error, relative_error
from tests.farzi_core.metagrad.test_engine import record_steps
from tests.farzi_core.metagrad.test_exactness import reference

BUDGETS = (13_000, 15_000, 18_000, 24_000, 60_000, 10**7)
EXACT = ("stored", "offloaded", "checkpointed", "reversed", "unrolled")


# Schedules


@pytest.mark.parametrize("method", EXACT)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_schedule_has_a_gradient_for_each_step(shapes: Problem, method: str, dtype: torch.dtype) -> None:
    # A warm-up from 0: that step moves nothing, and its rate has a gradient all the same.
    adam = AdamConfig(lr=torch.tensor([0.0, 0.01, 0.02, 0.005, 0.01], dtype=torch.float64), betas=(0.9, 0.99))
    expected = reference(shapes, adam, 5)
    result = shapes.to(dtype).solve(adam, num_inner_steps=5, method=method)
    assert result.lr.shape == (5,)
    assert bool(result.lr.all())
    bound = 1e-9 if dtype == torch.float64 else 1e-3
    assert relative_error({"lr": result.lr.double()}, {"lr": expected.lr}) <= bound
    assert relative_error({n: v.double() for n, v in result.synthetic.items()}, expected.synthetic) <= bound


def test_a_schedule_of_equal_rates_is_that_rate(shapes: Problem) -> None:
    constant = shapes.solve(AdamConfig(lr=0.01), num_inner_steps=4, method="stored")
    schedule = shapes.solve(AdamConfig(lr=[0.01] * 4), num_inner_steps=4, method="stored")
    assert all(torch.equal(schedule.synthetic[name], constant.synthetic[name]) for name in constant.synthetic)
    assert torch.equal(schedule.lr.sum(), constant.lr)


def test_a_window_leaves_the_rates_before_it_without_gradient(shapes: Problem) -> None:
    result = shapes.solve(AdamConfig(lr=[0.01] * 5), num_inner_steps=5, method="truncated", window=2)
    assert result.lr.ne(0).tolist() == [False, False, False, True, True]


@pytest.mark.parametrize(
    ("lr", "message"),
    [
        ([0.1, -0.1], r"lr\[1\]=-0.1 is not a learning rate"),
        (torch.ones(2, 2), r"lr has shape \(2, 2\); give one number, or a 1-d schedule"),
        (float("nan"), "lr=nan is not a learning rate"),
    ],
)
def test_rates_that_are_none_are_refused(lr: float | list[float] | Tensor, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        AdamConfig(lr=lr)


def test_a_schedule_of_another_length_is_refused(shapes: Problem) -> None:
    with pytest.raises(ConfigError, match="schedule of 3 values for num_inner_steps=4"):
        shapes.solve(AdamConfig(lr=[0.1] * 3), num_inner_steps=4)


# Random windows


def test_a_window_at_a_random_place_is_a_shorter_loop(shapes: Problem) -> None:
    seen: set[int] = set()
    for seed in range(12):
        result, again = (
            shapes.solve(
                num_inner_steps=6,
                method="truncated",
                window=3,
                window_position="random",
                generator=torch.Generator().manual_seed(seed),
            )
            for _ in range(2)
        )
        assert again.num_inner_steps == result.num_inner_steps
        last = shapes.solve(num_inner_steps=result.num_inner_steps, method="truncated", window=3)
        assert largest_error(result, last) == 0.0
        seen.add(result.num_inner_steps)
    assert seen == {3, 4, 5, 6}


def test_a_random_window_that_covers_the_loop_is_the_loop(shapes: Problem) -> None:
    result = shapes.solve(num_inner_steps=4, method="truncated", window=9, window_position="random")
    assert largest_error(result, shapes.solve(num_inner_steps=4, method="stored")) == 0.0


def test_the_norm_is_that_of_all_synthetic_gradients(shapes: Problem) -> None:
    result = shapes.solve(num_inner_steps=2)
    joined = torch.cat([value.flatten() for value in result.synthetic.values()])
    assert result.meta_gradient_norm == pytest.approx(float(joined.norm()))


# Memory budgets


@pytest.mark.parametrize("method", ["stored", "checkpointed", "truncated"])
def test_plenty_of_memory_means_no_recomputation(shapes: Problem, method: str) -> None:
    recorded, calls = record_steps(shapes)
    options = {"num_inner_steps": 9, "method": method, "window": 9}
    result = recorded.solve(SHARP, memory_budget_bytes=10**8, **options)
    assert [step for step, _ in calls] == list(range(9))
    assert largest_error(result, reference(shapes, SHARP, 9)) <= 1e-9


@pytest.mark.parametrize("budget", BUDGETS)
def test_any_budget_gives_the_same_gradient(shapes: Problem, budget: int) -> None:
    result = shapes.solve(SHARP, num_inner_steps=40, memory_budget_bytes=budget)
    assert largest_error(result, shapes.solve(SHARP, num_inner_steps=40, method="stored")) <= 1e-11
    assert result.replay_error == 0.0


def test_a_larger_budget_never_computes_more(shapes: Problem) -> None:
    counts = []
    for budget in BUDGETS:
        recorded, calls = record_steps(shapes)
        recorded.solve(SHARP, num_inner_steps=40, memory_budget_bytes=budget)
        counts.append(len(calls))
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 2 * 40
    assert counts[-1] == 40


def test_plans_fit_their_budget_or_say_what_would() -> None:
    for num_steps in (1, 7, 100, 1000):
        everything = stored_bytes(num_steps, 100)
        assert plan_stored(num_steps, 100, 1000, everything + 2000).num_graphs == min(num_steps, 3)
        assert plan_checkpointed(num_steps, 100, 10**6, everything).num_levels == 0
    with pytest.raises(ConfigError, match=r"memory_budget_bytes=99 is less than .* choose method 'checkpointed'"):
        plan_stored(10, 100, 1000, 99)
    with pytest.raises(ConfigError, match=r"give \d+ or more, or choose method 'reversed'") as caught:
        plan_checkpointed(1000, 100, 1000, 99)
    least = int(str(caught.value).split("give ")[1].split()[0])
    assert plan_checkpointed(1000, 100, 1000, least).num_levels > 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memory_budget_bytes": 10**6, "method": "reversed"}, "memory_budget_bytes was given with method 'reversed'"),
        ({"window_position": "random"}, "window_position='random' was given with method 'checkpointed'"),
        ({"window_position": "first"}, "window_position='first' is not known; allowed: last, random"),
    ],
)
def test_options_of_other_methods_are_refused(shapes: Problem, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        shapes.solve(SHARP, num_inner_steps=2, **options)


# Random numbers


def with_dropout(problem: Problem) -> Problem:
    def inner_loss(params: dict[str, Tensor], synthetic: dict[str, Tensor], step: int) -> Tensor:
        return problem.inner_loss({n: F.dropout(v, 0.3) if v.ndim > 1 else v for n, v in params.items()}, synthetic, step)

    return replace(problem, inner_loss=inner_loss)


@pytest.mark.parametrize("product", ["reverse_over_reverse", "forward_over_reverse"])
@pytest.mark.parametrize("method", EXACT)
def test_dropout_is_the_same_whenever_a_step_is_computed(shapes: Problem, method: str, product: str) -> None:
    noisy = with_dropout(shapes)
    torch.manual_seed(3)
    expected = reference(noisy, SHARP, 12)
    after = torch.rand(1)
    torch.manual_seed(3)
    result = noisy.solve(SHARP, num_inner_steps=12, method=method, product=product)
    assert torch.equal(torch.rand(1), after)
    assert largest_error(result, expected) <= 1e-9
    assert result.replay_error == 0.0


def test_dropout_differs_from_step_to_step() -> None:
    seen: list[Tensor] = []

    def inner_loss(params: dict[str, Tensor], synthetic: dict[str, Tensor], step: int) -> Tensor:
        mask = F.dropout(torch.ones(64, dtype=torch.float64), 0.5)
        seen.append(mask)
        return (params["w"] * synthetic["x"] * mask).square().sum()

    values = {"w": torch.ones(64, dtype=torch.float64)}
    Problem(inner_loss, lambda p: p["w"].sum(), values, {"x": values["w"]}).solve(SMOOTH, num_inner_steps=3, method="reversed")
    first, second, third, *again = seen
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)
    assert all(map(torch.equal, again, (second, first)))


def test_dropout_in_a_student_of_float32() -> None:
    noisy = with_dropout(PROBLEMS["sasrec"]())
    torch.manual_seed(5)
    expected = noisy.to(torch.float32).solve(SMOOTH, num_inner_steps=9, method="stored")
    torch.manual_seed(5)
    result = noisy.to(torch.float32).solve(SMOOTH, num_inner_steps=9, method="checkpointed")
    assert relative_error(result.synthetic, expected.synthetic) <= 1e-5
