"""The slow reference: autograd through the unrolled inner loop, written independently of the engine.

Memory grows with the graph of every step. Used by ``method="unrolled"`` and by the tests; with ``eps_root = 0`` a second
moment of exactly 0 makes its gradient NaN, which is autograd's answer and not a mistake here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from farzi_core.metagrad.adam import AdamConfig
from farzi_core.metagrad.hvp import InnerLoss
from farzi_core.metagrad.result import MetaGradient

OuterLoss = Callable[[dict[str, Tensor]], Tensor]


def unrolled_meta_gradient(
    inner_loss: InnerLoss,
    outer_loss: OuterLoss,
    start_params: Mapping[str, Tensor],
    synthetic: Mapping[str, Tensor],
    adam: AdamConfig,
    *,
    num_inner_steps: int,
    window: int | None = None,
) -> MetaGradient:
    """Return the meta-gradient by differentiating through the whole loop.

    Args:
        inner_loss: (params, synthetic, step) -> scalar.
        outer_loss: params -> scalar.
        start_params: where the loop starts.
        synthetic: what it trains on.
        adam: constants of the inner optimiser.
        num_inner_steps: T.
        window: if given, the state before the last ``window`` steps is detached.

    Cost: time of about T inner gradients with graph and one pass back through them; memory T graphs.
    """
    start = {name: value.detach().clone().requires_grad_() for name, value in start_params.items()}
    data = {name: value.detach().clone().requires_grad_() for name, value in synthetic.items()}
    rates = next(iter(start.values())).new_tensor(adam.lr).requires_grad_()
    first_differentiated = 0 if window is None else max(0, num_inner_steps - window)

    params: dict[str, Tensor] = dict(start)
    exp_avg = {name: torch.zeros_like(value) for name, value in start.items()}
    exp_avg_sq = {name: torch.zeros_like(value) for name, value in start.items()}
    beta1, beta2 = adam.betas
    for step in range(num_inner_steps):
        if 0 < step == first_differentiated:
            params = {name: value.detach().requires_grad_() for name, value in params.items()}
            exp_avg = {name: value.detach() for name, value in exp_avg.items()}
            exp_avg_sq = {name: value.detach() for name, value in exp_avg_sq.items()}
        grads = _gradient(inner_loss(dict(params), dict(data), step), params)
        exp_avg = {name: beta1 * exp_avg[name] + (1 - beta1) * grad for name, grad in grads.items()}
        exp_avg_sq = {name: beta2 * exp_avg_sq[name] + (1 - beta2) * grad**2 for name, grad in grads.items()}
        rate = rates if adam.schedule is None else rates[step]
        rate = rate if step >= first_differentiated else rate.detach()
        for name, value in params.items():
            mean = exp_avg[name] / (1 - beta1 ** (step + 1))
            root = torch.sqrt(exp_avg_sq[name] / (1 - beta2 ** (step + 1)) + adam.eps_root)
            params[name] = value - rate * mean / (root + adam.eps)

    loss = outer_loss(dict(params))
    sources = [*data.values(), *start.values(), rates]
    grads_of_all = torch.autograd.grad(loss, sources, allow_unused=True, materialize_grads=True)
    return MetaGradient(
        outer_loss=loss.detach(),
        synthetic=dict(zip(data, grads_of_all[: len(data)], strict=True)),
        start_params=dict(zip(start, grads_of_all[len(data) : -1], strict=True)),
        lr=grads_of_all[-1],
        final_params={name: value.detach() for name, value in params.items()},
        replay_error=0.0,
        num_inner_steps=num_inner_steps,
    )


def _gradient(loss: Tensor, params: dict[str, Tensor]) -> dict[str, Tensor]:
    grads = torch.autograd.grad(loss, list(params.values()), create_graph=True, allow_unused=True, materialize_grads=True)
    return dict(zip(params, grads, strict=True))
