"""higher: a ``torch.optim`` optimiser made differentiable around a module whose parameters it patches.

Its own Adam has no ``eps_root`` and adds ``eps`` before the bias correction, which is another gradient. It offers a registry
for optimisers of one's own; the Adam below is registered there, and writes the update in the way of higher's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import higher
import torch
from higher.optim import DifferentiableOptimizer
from torch import Tensor, nn

from bench.metagrad.contestants import Gradient, Run
from bench.metagrad.problem import BETAS, EPS, EPS_ROOT, LEARNING_RATE, Problem
from bench.metagrad.torch_losses import SoftLoss, TorchProblem, torch_problem
from farzi_core.students import Params


class _Adam(torch.optim.Adam):
    """What the registry knows the optimiser by; ``eps_root`` travels in the groups."""

    def __init__(self, params: Any) -> None:
        super().__init__(params, lr=LEARNING_RATE, betas=BETAS, eps=EPS)
        for group in self.param_groups:
            group["eps_root"] = EPS_ROOT


class _DifferentiableAdam(DifferentiableOptimizer):  # type: ignore[misc]
    def _update(self, grouped_grads: list[list[Tensor]], **_: Any) -> None:
        for index, (group, grads) in enumerate(zip(self.param_groups, grouped_grads, strict=True)):
            beta1, beta2 = group["betas"]
            for position, (param, grad) in enumerate(zip(group["params"], grads, strict=True)):
                state = self.state[index][position]
                step = state["step"] = state.get("step", 0) + 1
                state["exp_avg"] = state.get("exp_avg", 0.0) * beta1 + (1 - beta1) * grad
                state["exp_avg_sq"] = state.get("exp_avg_sq", 0.0) * beta2 + (1 - beta2) * grad * grad
                corrected = state["exp_avg_sq"] / (1 - beta2**step) + group["eps_root"]
                divisor = corrected.sqrt() + group["eps"]
                rate = group["lr"] / (1 - beta1**step)
                group["params"][position] = torch.addcdiv(param, state["exp_avg"], divisor, value=-rate)


higher.register_optim(_Adam, _DifferentiableAdam)


class _InnerLoss(nn.Module):
    """The inner loss as a module; names of parameters may not hold dots."""

    def __init__(self, given: TorchProblem) -> None:
        super().__init__()
        self._given = given
        self._names = {name: name.replace(".", "/") for name in given.start_params}
        for name, value in given.start_params.items():
            self.register_parameter(self._names[name], nn.Parameter(value.clone()))

    def forward(self, synthetic: dict[str, Tensor], step: int) -> Tensor:
        params: Params = {name: getattr(self, registered) for name, registered in self._names.items()}
        return self._given.inner_loss(params, synthetic, step)


def make(soft_loss: SoftLoss) -> Callable[[Problem], Run]:
    def prepare(problem: Problem) -> Run:
        given = torch_problem(problem, soft_loss)

        def run(num_inner_steps: int = problem.num_inner_steps) -> Gradient:
            module = _InnerLoss(given)
            synthetic = {name: value.clone().requires_grad_() for name, value in given.synthetic.items()}
            optimizer = _Adam(module.parameters())
            with higher.innerloop_ctx(module, optimizer) as (patched, differentiable):
                for step in range(num_inner_steps):
                    differentiable.step(patched(synthetic, step))
                outer_loss = given.outer_loss(dict(zip(given.start_params, patched.parameters(), strict=True)))
                (gradient,) = torch.autograd.grad(outer_loss, [synthetic["probabilities"]])
            return Gradient(outer_loss.item(), gradient.numpy())

        run(1)  # what torch does once only: loading kernels, filling caches
        return run

    return prepare
