"""Metasmoothness: closed form, its range, and trainings that are far from smooth."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  torch's own idiom

from farzi_core.errors import ConfigError
from farzi_core.metagrad import AdamConfig, Metasmoothness, measure_metasmoothness
from tests.farzi_core.metagrad.conftest import SHARP, SMOOTH, Problem

Tensors = dict[str, Tensor]


def measure(
    problem: Problem, size: float, direction: Tensors | None = None, *, adam: AdamConfig = SMOOTH, num_inner_steps: int = 8
) -> Metasmoothness:
    return measure_metasmoothness(
        problem.inner_loss,
        problem.outer_loss,
        problem.start_params,
        problem.synthetic,
        {name: torch.ones_like(value) for name, value in problem.synthetic.items()} if direction is None else direction,
        adam=adam,
        num_inner_steps=num_inner_steps,
        size=size,
    )


def one_step(params: Tensors, synthetic: Tensors, step: int) -> Tensor:
    return (params["w"] * synthetic["x"]).sum()


def test_one_step_has_a_closed_form() -> None:
    # w' = w - lr x / (|x| + eps): nearly linear in x for a large eps.
    lr, eps = 0.1, 10.0
    x = torch.tensor([1.0, 2.0, -3.0], dtype=torch.float64)
    problem = Problem(one_step, lambda p: p["w"].square().sum(), {"w": torch.zeros_like(x)}, {"x": x})
    adam = AdamConfig(lr=lr, eps=eps, eps_root=0.0)
    result = measure(problem, 0.5, adam=adam, num_inner_steps=1)
    trained = [-lr * y / (y.abs() + eps) for y in (x, x + 0.5, x + 1.0)]
    losses = [float(w.square().sum()) for w in trained]
    assert result.agreement == pytest.approx(1.0)
    assert result.curvature == pytest.approx(abs(losses[2] - 2 * losses[1] + losses[0]) / 0.25, rel=1e-9)


def test_parameters_that_turn_around_count_by_how_far_they_went() -> None:
    x = torch.tensor([0.0, 0.0], dtype=torch.float64)

    def inner_loss(params: Tensors, synthetic: Tensors, step: int) -> Tensor:
        # Trained parameters are 3 x and 1 - (x - 1)^2, up to a common factor: at 0, 1, 2 the second goes up and down again.
        moved = torch.stack([3 * synthetic["x"][0], 1 - (synthetic["x"][1] - 1) ** 2])
        return -(params["w"] * moved).sum()

    problem = Problem(inner_loss, lambda p: p["w"].sum(), {"w": torch.zeros_like(x)}, {"x": x})
    adam = AdamConfig(lr=1.0, betas=(0.0, 0.0), eps=1e9, eps_root=0.0)
    assert measure(problem, 1.0, adam=adam, num_inner_steps=1).agreement == pytest.approx((3 - 1) / (3 + 1))


def test_small_steps_are_smooth(problem: Problem) -> None:
    assert measure(problem, 1e-5).agreement > 0.99


def test_sharp_trainings_agree_less(shapes: Problem) -> None:
    smooth = measure(shapes, 0.2, adam=SMOOTH, num_inner_steps=20)
    sharp = measure(shapes, 0.2, adam=AdamConfig(lr=1.0), num_inner_steps=20)
    assert -1.0 <= sharp.agreement < smooth.agreement <= 1.0
    assert sharp.curvature > smooth.curvature


def test_all_trainings_draw_the_same_random_numbers(shapes: Problem) -> None:
    def inner_loss(params: Tensors, synthetic: Tensors, step: int) -> Tensor:
        return shapes.inner_loss({name: F.dropout(value, 0.3) for name, value in params.items()}, synthetic, step)

    noisy = Problem(inner_loss, shapes.outer_loss, shapes.start_params, shapes.synthetic)
    assert measure(noisy, 1e-6, adam=SHARP).agreement > 0.99


def test_directions_and_sizes_that_are_none_are_refused(shapes: Problem) -> None:
    with pytest.raises(ConfigError, match="names and shapes of synthetic"):
        measure(shapes, 1.0, {"rows": torch.ones(1)})
    with pytest.raises(ConfigError, match="size=0 is no step"):
        measure(shapes, 0)
    with pytest.raises(ConfigError, match="changes no trained parameter"):
        measure(shapes, 1.0, {name: torch.zeros_like(value) for name, value in shapes.synthetic.items()})
