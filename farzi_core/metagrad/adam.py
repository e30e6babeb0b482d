"""Adam as a pure function of a named state, and its transpose side by side with it.

Both work element by element on tensors of any shape. They know nothing of losses or of how the gradient was made.
Notation and derivation: ``docs/design/reverse-adam.md``. Source of the optimiser: Kingma and Ba 2015, arXiv 1412.6980.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from farzi_core.errors import ConfigError


@dataclass(frozen=True)
class AdamConfig:
    """Constants of the inner optimiser.

    Attributes:
        lr: learning rate: one positive number, or a schedule of one number, 0 or more, for each inner step (a sequence or a
            1-d tensor; kept as a tuple).
        betas: decay rates of the two moments, each in [0, 1). Smooth choices such as (0.95, 0.975) keep long inner loops
            differentiable in practice.
        eps: added to the root of the second moment, positive.
        eps_root: added under the root, 0 or more; above 0 it keeps the derivative of the root bounded.
    """

    lr: float | Sequence[float] | Tensor = 1e-2
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    eps_root: float = 1e-8

    def __post_init__(self) -> None:
        object.__setattr__(self, "lr", _read_rates(self.lr))
        if not all(0.0 <= beta < 1.0 for beta in self.betas):
            raise ConfigError(f"betas={self.betas} are not decay rates; give two numbers in [0, 1), for example (0.95, 0.975)")
        if not (math.isfinite(self.eps) and self.eps > 0):
            raise ConfigError(f"eps={self.eps} would divide by 0; give a finite number above 0, for example 1e-8")
        if not (math.isfinite(self.eps_root) and self.eps_root >= 0):
            raise ConfigError(f"eps_root={self.eps_root} is not allowed; give 0 or more, for example 1e-8")

    @property
    def schedule(self) -> tuple[float, ...] | None:
        """The learning rate of each step, or None where all steps have the same one."""
        return self.lr if isinstance(self.lr, tuple) else None

    def rate(self, index: int) -> float:
        """Return the learning rate of the step with this index, counted from 0."""
        return self.lr[index] if isinstance(self.lr, tuple) else float(self.lr)  # type: ignore[arg-type]


def _read_rates(lr: float | Sequence[float] | Tensor) -> float | tuple[float, ...]:
    values = lr.detach().tolist() if isinstance(lr, Tensor) else lr
    if isinstance(values, int | float):
        if not (math.isfinite(values) and values > 0):
            raise ConfigError(f"lr={values} is not a learning rate; give a finite number above 0, for example 0.01")
        return float(values)
    if isinstance(lr, Tensor) and lr.ndim > 1:
        raise ConfigError(f"lr has shape {tuple(lr.shape)}; give one number, or a 1-d schedule of one number a step")
    for index, value in enumerate(values):
        if not (math.isfinite(value) and value >= 0):
            raise ConfigError(f"lr[{index}]={value} is not a learning rate; give finite numbers, 0 or more")
    return tuple(float(value) for value in values)


@dataclass(frozen=True)
class AdamState:
    """Parameters and moments after ``step`` updates."""

    params: Tensor
    exp_avg: Tensor
    exp_avg_sq: Tensor
    step: int


@dataclass(frozen=True)
class AdamAdjoint:
    """Derivatives of the outer loss with respect to an :class:`AdamState`, and to the learning rate of later steps."""

    adj_params: Tensor
    adj_exp_avg: Tensor
    adj_exp_avg_sq: Tensor
    adj_lr: Tensor


def init_state(params: Tensor) -> AdamState:
    """Return the state before the first step: moments are 0."""
    return AdamState(params, torch.zeros_like(params), torch.zeros_like(params), 0)


def init_adjoint(adj_params: Tensor) -> AdamAdjoint:
    """Return the adjoint of the last state: the outer loss sees parameters only."""
    return AdamAdjoint(adj_params, torch.zeros_like(adj_params), torch.zeros_like(adj_params), adj_params.new_zeros(()))


def adam_step(state: AdamState, grad: Tensor, config: AdamConfig) -> AdamState:
    """Return the state after one update with ``grad``.

    ``w' = w - lr (m' / c1) / (sqrt(v' / c2 + eps_root) + eps)`` with bias corrections ``c = 1 - beta^t``.
    """
    beta1, beta2 = config.betas
    step = state.step + 1
    exp_avg = torch.lerp(state.exp_avg, grad, 1.0 - beta1)
    exp_avg_sq = (state.exp_avg_sq * beta2).addcmul_(grad, grad, value=1.0 - beta2)
    _, divisor = _root_and_divisor(exp_avg_sq, step, config)
    params = torch.addcdiv(state.params, exp_avg, divisor, value=-config.rate(state.step) / (1.0 - beta1**step))
    return AdamState(params, exp_avg, exp_avg_sq, step)


def adam_step_reverse(adjoint: AdamAdjoint, after: AdamState, grad: Tensor, config: AdamConfig) -> tuple[AdamAdjoint, Tensor]:
    """Pull adjoints back through ``after = adam_step(before, grad, config)``.

    Args:
        adjoint: derivatives with respect to ``after``.
        after: the state the step produced; only its moments and step number are read.
        grad: the gradient the step was given.
        config: constants of the step.

    Returns:
        The adjoint of the state before the step, for a constant gradient, and ``adj_grad``. The caller adds what flows
        through the gradient: ``adj_params += H adj_grad``.
    """
    beta1, beta2 = config.betas
    correction1, correction2 = 1.0 - beta1**after.step, 1.0 - beta2**after.step
    rate = config.rate(after.step - 1)
    root, divisor = _root_and_divisor(after.exp_avg_sq, after.step, config)
    per_exp_avg = adjoint.adj_params / divisor  # d outer_loss / d (exp_avg / divisor)
    update = after.exp_avg / divisor
    adj_lr = adjoint.adj_lr - torch.dot(adjoint.adj_params.flatten(), update.flatten()) / correction1
    adj_exp_avg = torch.add(adjoint.adj_exp_avg, per_exp_avg, alpha=-rate / correction1)
    through_root = per_exp_avg.mul_(update).div_(root)
    if config.eps_root == 0.0:
        through_root.masked_fill_(root == 0.0, 0.0)
    adj_exp_avg_sq = torch.add(adjoint.adj_exp_avg_sq, through_root, alpha=rate / (2.0 * correction1 * correction2))
    adj_grad = (adj_exp_avg_sq * grad).mul_(2.0 * (1.0 - beta2)).add_(adj_exp_avg, alpha=1.0 - beta1)
    before = AdamAdjoint(adjoint.adj_params, adj_exp_avg.mul_(beta1), adj_exp_avg_sq.mul_(beta2), adj_lr)
    return before, adj_grad


def _root_and_divisor(exp_avg_sq: Tensor, step: int, config: AdamConfig) -> tuple[Tensor, Tensor]:
    root = (exp_avg_sq / (1.0 - config.betas[1] ** step)).add_(config.eps_root).sqrt_()
    return root, root + config.eps
