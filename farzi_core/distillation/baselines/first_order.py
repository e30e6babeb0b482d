"""A first-order meta-gradient: the reverse sweep through Adam without the Hessian of the inner loss.

The sweep (``docs/design/reverse-adam.md``) carries the adjoint of the parameters back through each inner step,

    adj_params += H adj_grad                                  dropped: H := 0
    adj_synthetic += (d2 inner_loss / d synthetic d params)^T adj_grad       kept

What is dropped is how a change of one step's parameters changes the gradients of later steps; what is kept is how the
synthetic data change each step's own gradient, and Adam's moments. The adjoint of the parameters is then the outer gradient at
every step. Exact for one differentiated step. Dropping H is the approximation of first-order MAML (Finn, Abbeel and Levine
2017, arXiv 1703.03400) and of one-step truncation (T1-T2; Luketina et al. 2016, arXiv 1511.06727); the mixed derivative cannot
be dropped, because the outer loss does not contain the synthetic data.

Cost of an outer step: the inner loop, and one mixed product (about two inner gradients) for each differentiated step.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from farzi_core.distillation.baselines.learned import ObjectiveValue
from farzi_core.distillation.draws import (
    PROBABILITIES,
    draw_num_inner_steps,
    draw_real_batch,
    make_inner_loss,
)
from farzi_core.distillation.outer_point import OuterPoint
from farzi_core.distillation.setting import Setting
from farzi_core.distillation.student_pool import StudentPool
from farzi_core.distillation.teachers import TeacherTrajectory
from farzi_core.metagrad import AdamConfig, AdamState, InnerLoss, adam_step, adam_step_reverse, init_adjoint, init_state
from farzi_core.metagrad.hvp import InnerGradient
from farzi_core.metagrad.vectors import ParamLayout
from farzi_core.students import next_event_loss


@dataclass(frozen=True)
class _Step:
    before: AdamState
    grad: Tensor
    after: AdamState


class FirstOrder:
    """The outer loss of the outer loop, with the first-order meta-gradient over the same inner steps."""

    has_lr_gradient = True

    def __init__(self, setting: Setting, teachers: Sequence[TeacherTrajectory]) -> None:
        self._setting = setting
        self.pool = StudentPool(setting, teachers)

    def evaluate(self, point: OuterPoint) -> ObjectiveValue:
        setting, step = self._setting, point.step
        num_steps = draw_num_inner_steps(setting, step)
        taken = self.pool.take(point, num_steps)
        layout, adam = ParamLayout(taken.params), setting.inner_adam(point.inner_lr)
        inner_loss, synthetic = make_inner_loss(setting, step, point.input_events), {PROBABILITIES: point.probabilities}
        inner = InnerGradient(inner_loss, synthetic, layout, "auto")
        steps = _train(inner, adam, init_state(layout.flatten(taken.params)), num_steps, self._window(num_steps))
        self.pool.put_back(taken, layout.name(steps[-1].after.params))
        loss, adj_params = self._outer_gradient(layout, steps[-1].after.params, step)
        mixed = MixedProduct(inner_loss, layout, point.probabilities)
        adj_probabilities, adj_lr = _sweep(steps, adj_params, adam, mixed)
        return ObjectiveValue(float(loss), adj_probabilities, adj_lr)

    def _window(self, num_steps: int) -> int:
        return self._setting.spec.meta_gradient.num_differentiated(num_steps)

    def _outer_gradient(self, layout: ParamLayout, params: Tensor, step: int) -> tuple[Tensor, Tensor]:
        flat = params.detach().requires_grad_()
        named = dict(zip(layout.names, layout.split(flat), strict=True))
        loss = next_event_loss(self._setting.student, named, draw_real_batch(self._setting, step))
        (grad,) = torch.autograd.grad(loss, flat)
        return loss.detach(), grad


def _train(inner: InnerGradient, adam: AdamConfig, state: AdamState, num_steps: int, window: int) -> deque[_Step]:
    """Return the last ``window`` of ``num_steps`` inner steps."""
    steps: deque[_Step] = deque(maxlen=window)
    for inner_step in range(num_steps):
        grad = inner.gradient(state.params, inner_step)
        steps.append(_Step(state, grad, adam_step(state, grad, adam)))
        state = steps[-1].after
    return steps


class MixedProduct:
    """Products with the mixed second derivative of an inner loss.

    Args:
        inner_loss: (params, synthetic, step) -> scalar.
        layout: of the flat parameters.
        probabilities: soft tokens (S, L, V).
    """

    def __init__(self, inner_loss: InnerLoss, layout: ParamLayout, probabilities: Tensor) -> None:
        self._inner_loss, self._layout, self._probabilities = inner_loss, layout, probabilities

    def multiply(self, params: Tensor, inner_step: int, direction: Tensor) -> Tensor:
        """Return ``(d2 inner_loss / d probabilities d params)^T direction`` (S, L, V) at ``params`` (N,)."""
        flat, soft = params.detach().requires_grad_(), self._probabilities.detach().requires_grad_()
        named = dict(zip(self._layout.names, self._layout.split(flat), strict=True))
        (grad,) = torch.autograd.grad(self._inner_loss(named, {PROBABILITIES: soft}, inner_step), flat, create_graph=True)
        (product,) = torch.autograd.grad(grad, soft, direction)
        return product


def _sweep(steps: Sequence[_Step], adj_params: Tensor, adam: AdamConfig, mixed: MixedProduct) -> tuple[Tensor, Tensor]:
    """Return the derivatives with respect to soft tokens and inner learning rate."""
    adjoint, adj_probabilities = init_adjoint(adj_params), adj_params.new_zeros(())
    for step in reversed(steps):
        adjoint, adj_grad = adam_step_reverse(adjoint, step.after, step.grad, adam)
        adj_probabilities = adj_probabilities + mixed.multiply(step.before.params, step.before.step, adj_grad)
    return adj_probabilities, adjoint.adj_lr
