"""Gradient matching (dataset condensation): synthetic data whose gradient points where that of real data points.

At the parameters w of a student that was trained for a few steps on the synthetic data,

    loss = sum over parameter matrices l of  1 - cos(d soft_loss / d w_l, d real_loss / d w_l)

Biases and gains are left out: the gradient of some of them is 0 but for rounding. The number of steps is drawn anew at each
outer step, below that of the inner loop; the paper carries one student along and draws another now and then, as a pool does.
Source: Zhao, Mopuri and Bilen 2021, arXiv 2006.05929.

Cost of an outer step: a mean of T / 2 inner gradients, one real gradient, one second-order product.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  torch's own idiom

from farzi_core.distillation.baselines.learned import ObjectiveValue
from farzi_core.distillation.draws import (
    PROBABILITIES,
    draw_real_batch,
    longest_inner_loop,
    make_inner_loss,
)
from farzi_core.distillation.outer_point import OuterPoint
from farzi_core.distillation.setting import Setting
from farzi_core.distillation.student_pool import StudentPool
from farzi_core.distillation.teachers import TeacherTrajectory
from farzi_core.metagrad import InnerLoss, adam_step, init_state
from farzi_core.metagrad.hvp import InnerGradient
from farzi_core.metagrad.vectors import ParamLayout
from farzi_core.seeding import derive_generator
from farzi_core.students import Params, next_event_loss

_SMALLEST_NORM = 1e-12


class GradientMatching:
    """The distance of the two gradients, at students trained a little on the synthetic data."""

    has_lr_gradient = False

    def __init__(self, setting: Setting, teachers: Sequence[TeacherTrajectory]) -> None:
        self._setting = setting
        self.pool = StudentPool(setting, teachers)

    def evaluate(self, point: OuterPoint) -> ObjectiveValue:
        inner_loss = make_inner_loss(self._setting, point.step, point.input_events)
        num_steps = self._draw_age(point.step)
        params = self._train(inner_loss, point, num_steps)
        leaves = {name: value.detach().requires_grad_() for name, value in params.items()}
        soft = point.probabilities.detach().requires_grad_()
        real_loss = next_event_loss(self._setting.student, leaves, draw_real_batch(self._setting, point.step))
        real = torch.autograd.grad(real_loss, list(leaves.values()), allow_unused=True)
        soft_loss = inner_loss(leaves, {PROBABILITIES: soft}, num_steps)
        ours = torch.autograd.grad(soft_loss, list(leaves.values()), create_graph=True, allow_unused=True)
        loss = gradient_distance(dict(zip(leaves, ours, strict=True)), dict(zip(leaves, real, strict=True)))
        (adj_probabilities,) = torch.autograd.grad(loss, soft)
        return ObjectiveValue(float(loss.detach()), adj_probabilities)

    def _draw_age(self, step: int) -> int:
        generator = derive_generator(self._setting.spec.seed, "gradient_matching_age", step)
        return int(torch.randint(longest_inner_loop(self._setting, step), (1,), generator=generator))

    def _train(self, inner_loss: InnerLoss, point: OuterPoint, num_steps: int) -> Params:
        taken = self.pool.take(point, num_steps)
        layout = ParamLayout(taken.params)
        inner = InnerGradient(inner_loss, {PROBABILITIES: point.probabilities}, layout, "auto")
        state, adam = init_state(layout.flatten(taken.params)), self._setting.inner_adam(point.inner_lr)
        for inner_step in range(num_steps):
            state = adam_step(state, inner.gradient(state.params, inner_step), adam)
        params = layout.name(state.params)
        self.pool.put_back(taken, params)
        return params


def gradient_distance(ours: Mapping[str, Tensor | None], theirs: Mapping[str, Tensor | None]) -> Tensor:
    """Return ``sum_l 1 - cos(ours_l, theirs_l)`` over the matrices that both losses depend on."""
    distances = []
    for name, grad in ours.items():
        other = theirs[name]
        if grad is not None and other is not None and grad.ndim > 1:
            distances.append(1.0 - F.cosine_similarity(grad.flatten(), other.flatten(), dim=0, eps=_SMALLEST_NORM))
    return torch.stack(distances).sum()
