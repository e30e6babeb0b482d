"""The meta-gradient four ways: reverse sweep, unrolled autograd, finite differences, closed form at T = 1."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from farzi_core.metagrad import AdamConfig, MetaGradient, unrolled_meta_gradient
from tests.farzi_core.metagrad.conftest import GENTLE, PROBLEMS, SHARP, SMOOTH, Problem, largest_error, relative_error

FULL_METHODS = ("stored", "offloaded", "checkpointed", "truncated")
ORDERS = ("reverse_over_reverse", "forward_over_reverse")


def reference(problem: Problem, adam: AdamConfig, num_inner_steps: int, window: int | None = None) -> MetaGradient:
    return unrolled_meta_gradient(
        problem.inner_loss,
        problem.outer_loss,
        problem.start_params,
        problem.synthetic,
        adam,
        num_inner_steps=num_inner_steps,
        window=window,
    )


@pytest.mark.parametrize("num_inner_steps", [1, 2, 10])
def test_every_method_and_order_equals_unrolled_autograd(problem: Problem, num_inner_steps: int) -> None:
    expected = reference(problem, SHARP, num_inner_steps)
    for method in FULL_METHODS:
        for product in ORDERS:
            options = {"num_inner_steps": num_inner_steps, "method": method, "product": product, "window": num_inner_steps}
            assert largest_error(problem.solve(SHARP, **options), expected) <= 1e-9, (method, product)


def test_fifty_steps_equal_unrolled_autograd(problem: Problem) -> None:
    expected = reference(problem, SMOOTH, 50)
    for method in ("stored", "checkpointed"):
        assert largest_error(problem.solve(SMOOTH, num_inner_steps=50, method=method), expected) <= 1e-9, method


@pytest.mark.parametrize("problem", ["sasrec"], indirect=True)
def test_two_hundred_steps_equal_unrolled_autograd(problem: Problem) -> None:
    result = problem.solve(GENTLE, num_inner_steps=200, method="checkpointed")
    assert largest_error(result, reference(problem, GENTLE, 200)) <= 1e-9
    assert result.replay_error == 0.0


@pytest.mark.parametrize("problem", ["sasrec", "transformer_lm"], indirect=True)
def test_float32_stays_within_a_thousandth_of_float64_autograd(problem: Problem) -> None:
    expected = reference(problem, GENTLE, 100)
    result = problem.to(torch.float32).solve(GENTLE, num_inner_steps=100)
    assert {value.dtype for value in (*result.synthetic.values(), *result.start_params.values(), result.lr)} == {torch.float32}
    assert relative_error({n: v.double() for n, v in result.synthetic.items()}, expected.synthetic) <= 1e-3


def outer_loss_along(problem: Problem, direction: dict[str, Tensor], size: float, lr_change: float) -> float:
    shifted = {name: value + size * direction[name] for name, value in problem.synthetic.items()}
    moved = Problem(problem.inner_loss, problem.outer_loss, problem.start_params, shifted)
    adam = AdamConfig(lr=SMOOTH.rate(0) + size * lr_change, betas=SMOOTH.betas)
    return float(moved.solve(adam, num_inner_steps=12, method="truncated", window=1).outer_loss)


def test_derivative_along_a_direction_equals_finite_differences(problem: Problem) -> None:
    generator = torch.Generator().manual_seed(5)
    direction = {n: torch.randn(v.shape, generator=generator, dtype=v.dtype) for n, v in problem.synthetic.items()}
    result = problem.solve(SMOOTH, num_inner_steps=12)
    lr_change = 0.1
    slope = sum(float((result.synthetic[n] * direction[n]).sum()) for n in direction) + lr_change * float(result.lr)
    size = 1e-5
    forward, backward = (outer_loss_along(problem, direction, sign * size, lr_change) for sign in (1.0, -1.0))
    assert slope == pytest.approx((forward - backward) / (2 * size), rel=1e-6)


def test_one_step_on_a_quadratic_has_a_closed_form() -> None:
    params, data, eps_root, eps = 1.5, 0.25, 0.04, 0.1

    def inner_loss(params: dict[str, Tensor], synthetic: dict[str, Tensor], step: int) -> Tensor:
        return 0.5 * (params["w"] - synthetic["x"]).square()

    def scalar(value: float) -> Tensor:
        return torch.tensor(value, dtype=torch.float64)

    problem = Problem(inner_loss, lambda p: p["w"].square(), {"w": scalar(params)}, {"x": scalar(data)})
    adam = AdamConfig(lr=0.3, eps=eps, eps_root=eps_root)
    result = problem.solve(adam, num_inner_steps=1, method="stored")
    # At T = 1 both bias corrections cancel: w' = w - lr g / (sqrt(g^2 + eps_root) + eps) with g = w - x.
    g = params - data
    root = (g**2 + eps_root) ** 0.5
    step = g / (root + eps)
    slope = 1 / (root + eps) - g**2 / (root * (root + eps) ** 2)
    final = params - 0.3 * step
    assert float(result.outer_loss) == pytest.approx(final**2, rel=1e-14)
    assert float(result.synthetic["x"]) == pytest.approx(2 * final * 0.3 * slope, rel=1e-14)
    assert float(result.start_params["w"]) == pytest.approx(2 * final * (1 - 0.3 * slope), rel=1e-14)
    assert float(result.lr) == pytest.approx(2 * final * -step, rel=1e-14)


@pytest.mark.parametrize("window", [1, 4, 9])
def test_a_shorter_window_equals_autograd_from_a_detached_state(problem: Problem, window: int) -> None:
    result = problem.solve(SHARP, num_inner_steps=10, method="truncated", window=window)
    expected = reference(problem, SHARP, 10, window)
    assert relative_error(result.synthetic, expected.synthetic) <= 1e-9
    assert relative_error({"lr": result.lr}, {"lr": expected.lr}) <= 1e-9
    assert all(not bool(value.any()) for value in result.start_params.values())


def test_a_window_longer_than_the_loop_differentiates_all_of_it(shapes: Problem) -> None:
    long = shapes.solve(num_inner_steps=5, method="truncated", window=12)
    assert largest_error(long, shapes.solve(num_inner_steps=5, method="stored")) == 0.0


def test_second_moments_of_zero_give_the_limit_of_small_eps_root(shapes: Problem) -> None:
    exact = shapes.solve(AdamConfig(lr=1e-2, eps=1e-2, eps_root=0.0), num_inner_steps=6, method="stored")
    limit = shapes.solve(AdamConfig(lr=1e-2, eps=1e-2, eps_root=1e-24), num_inner_steps=6, method="stored")
    assert largest_error(exact, limit) <= 1e-6
    assert bool(exact.start_params["zero_gradient"].any())


def test_unrolled_method_is_the_reference(shapes: Problem) -> None:
    assert largest_error(shapes.solve(num_inner_steps=4, method="unrolled"), reference(shapes, SHARP, 4)) == 0.0


@pytest.mark.parametrize("problem", ["sasrec"], indirect=True)
def test_published_recursion_is_exact_for_one_step_only(problem: Problem) -> None:
    one = problem.solve(num_inner_steps=1, method="published")
    assert largest_error(one, problem.solve(num_inner_steps=1, method="stored")) <= 1e-9
    ten = problem.solve(num_inner_steps=10, method="published")
    expected = problem.solve(num_inner_steps=10, method="stored")
    assert relative_error(ten.synthetic, expected.synthetic) > 0.05
    assert torch.equal(ten.outer_loss, expected.outer_loss)


def test_published_recursion_takes_a_window(problem: Problem) -> None:
    one = problem.solve(num_inner_steps=10, method="published", window=1)
    assert relative_error(one.synthetic, problem.solve(num_inner_steps=10, method="truncated", window=1).synthetic) <= 1e-9
    four = problem.solve(num_inner_steps=10, method="published", window=4)
    assert relative_error(four.synthetic, problem.solve(num_inner_steps=10, method="truncated", window=4).synthetic) > 1e-3


def test_two_runs_are_bitwise_equal() -> None:
    problem = PROBLEMS["sasrec"]()
    first, again = (problem.solve(num_inner_steps=8) for _ in range(2))
    assert all(torch.equal(first.synthetic[name], again.synthetic[name]) for name in first.synthetic)
    assert torch.equal(first.lr, again.lr)
