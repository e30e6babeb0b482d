from __future__ import annotations

from typing import Any

import pytest
import torch

from farzi_core.data_choices import inner_steps
from farzi_core.distillation.baselines.first_order import FirstOrder
from farzi_core.distillation.draws import PROBABILITIES, draw_real_batch, draw_start_params, make_inner_loss
from farzi_core.distillation.outer_loop import OuterLoop
from farzi_core.distillation.setting import Setting
from farzi_core.distillation.teachers import TeacherTrajectory
from farzi_core.metagrad import MetaGradient, compute_meta_gradient
from farzi_core.students import next_event_loss
from tests.farzi_core.distillation.baselines.prepared import point, prepare, start_probabilities

Prepared = tuple[Setting, list[TeacherTrajectory]]


def prepare_steps(num_steps: int, **meta_gradient: Any) -> Prepared:
    meta_gradient = meta_gradient or {"method": "stored", "window": None}
    inner = {"num_steps": num_steps, "min_steps": num_steps, "batch_size": 2}
    return prepare(precision="float64", inner=inner, meta_gradient=meta_gradient)


def exact(prepared: Prepared, probabilities: torch.Tensor, **options: Any) -> MetaGradient:
    setting, teachers = prepared
    real = draw_real_batch(setting, 0)
    return compute_meta_gradient(
        make_inner_loss(setting, 0, None),
        lambda params: next_event_loss(setting.student, params, real),
        draw_start_params(setting, teachers, 0),
        {PROBABILITIES: probabilities},
        setting.inner_adam(0.02),
        num_inner_steps=inner_steps(setting.spec)[1],
        **options,
    )


def test_one_step_is_exact() -> None:
    prepared = prepare_steps(1)
    probabilities = start_probabilities(*prepared)
    value, expected = FirstOrder(*prepared).evaluate(point(probabilities)), exact(prepared, probabilities, method="stored")
    assert value.loss == pytest.approx(float(expected.outer_loss))
    torch.testing.assert_close(value.adj_probabilities, expected.synthetic[PROBABILITIES])
    assert value.adj_lr is not None
    torch.testing.assert_close(value.adj_lr, expected.lr)


def test_a_window_of_one_is_exact_too() -> None:
    prepared = prepare_steps(5, method="truncated", window=1)
    probabilities = start_probabilities(*prepared)
    expected = exact(prepared, probabilities, method="truncated", window=1)
    value = FirstOrder(*prepared).evaluate(point(probabilities))
    torch.testing.assert_close(value.adj_probabilities, expected.synthetic[PROBABILITIES])


def unrolled_without_hessian(prepared: Prepared, probabilities: torch.Tensor) -> torch.Tensor:
    """Autograd through the whole loop, each gradient taken at parameters that count as constants."""
    setting, teachers = prepared
    adam, inner_loss = setting.inner_adam(0.02), make_inner_loss(setting, 0, None)
    params = {name: value.clone() for name, value in draw_start_params(setting, teachers, 0).items()}
    means, squares = ({name: torch.zeros_like(value) for name, value in params.items()} for _ in range(2))
    soft = probabilities.clone().requires_grad_()
    (beta1, beta2), rate = adam.betas, adam.rate(0)
    for step in range(inner_steps(setting.spec)[1]):
        leaves = {name: value.detach().requires_grad_() for name, value in params.items()}
        grads = torch.autograd.grad(inner_loss(leaves, {PROBABILITIES: soft}, step), list(leaves.values()), create_graph=True)
        for name, grad in zip(leaves, grads, strict=True):
            means[name] = beta1 * means[name] + (1 - beta1) * grad
            squares[name] = beta2 * squares[name] + (1 - beta2) * grad**2
            divisor = (squares[name] / (1 - beta2 ** (step + 1)) + adam.eps_root).sqrt() + adam.eps
            params[name] = params[name] - rate * means[name] / (1 - beta1 ** (step + 1)) / divisor
    loss = next_event_loss(setting.student, params, draw_real_batch(setting, 0))
    return torch.autograd.grad(loss, soft)[0]


def test_several_steps_lack_the_hessian_and_nothing_else() -> None:
    prepared = prepare_steps(4)
    probabilities = start_probabilities(*prepared)
    found = FirstOrder(*prepared).evaluate(point(probabilities)).adj_probabilities
    torch.testing.assert_close(found, unrolled_without_hessian(prepared, probabilities))
    whole = exact(prepared, probabilities, method="stored").synthetic[PROBABILITIES]
    assert float((found - whole).norm() / whole.norm()) > 1e-3


def test_its_first_outer_loss_is_that_of_the_outer_loop() -> None:
    """Both draw the same batch, inner length, start parameters and minibatches."""
    setting, teachers = prepare(inner={"batch_size": 2}, outer={"start_params": "mixed"})
    value = FirstOrder(setting, teachers).evaluate(point(start_probabilities(setting, teachers)))
    assert value.loss == OuterLoop(setting, teachers).advance().outer_loss
