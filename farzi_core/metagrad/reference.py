"""The slow reference: autograd through the unrolled inner loop, written independently of the engine.

Memory grows with the graph of every step. Used by ``method="unrolled"`` and by the tests. With ``eps_root = 0`` a second moment
of exactly 0 makes autograd's gradient NaN, which raises here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from farzi_core.metagrad.adam import AdamConfig
from farzi_core.metagrad.guards import check_finite, check_scalar, check_synthetic_used
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

    Raises:
        NotDifferentiableError, NumericalError: as the engine does.

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
        grads = _gradient(inner_loss, params, data, step)
        exp_avg = {name: beta1 * exp_avg[name] + (1 - beta1) * grad for name, grad in grads.items()}
        exp_avg_sq = {name: beta2 * exp_avg_sq[name] + (1 - beta2) * grad**2 for name, grad in grads.items()}
        rate = rates if adam.schedule is None else rates[step]
        rate = rate if step >= first_differentiated else rate.detach()
        for name, value in params.items():
            mean = exp_avg[name] / (1 - beta1 ** (step + 1))
            root = torch.sqrt(exp_avg_sq[name] / (1 - beta2 ** (step + 1)) + adam.eps_root)
            params[name] = value - rate * mean / (root + adam.eps)

    loss = check_scalar(outer_loss(dict(params)), "outer_loss")
    check_finite(loss.detach(), "outer_loss", num_inner_steps)
    sources = [*data.values(), *start.values(), rates]
    found = torch.autograd.grad(loss, sources, allow_unused=True)
    check_synthetic_used(not data or any(grad is not None for grad in found[: len(data)]))
    *grads_of_all, grad_of_rates = (
        torch.zeros_like(source) if grad is None else grad for source, grad in zip(sources, found, strict=True)
    )
    for name, grad in zip(data, grads_of_all, strict=False):
        check_finite(grad, f"the meta-gradient of {name!r}", first_differentiated)
    for name, grad in zip(start, grads_of_all[len(data) :], strict=True):
        check_finite(grad, f"the adjoint of {name!r}", first_differentiated)
    check_finite(grad_of_rates, "the adjoint of lr", first_differentiated)
    return MetaGradient(
        outer_loss=loss.detach(),
        synthetic=dict(zip(data, grads_of_all, strict=False)),
        start_params=dict(zip(start, grads_of_all[len(data) :], strict=True)),
        lr=grad_of_rates,
        final_params={name: value.detach() for name, value in params.items()},
        replay_error=0.0,
        num_inner_steps=num_inner_steps,
    )


def _gradient(inner_loss: InnerLoss, params: dict[str, Tensor], data: dict[str, Tensor], step: int) -> dict[str, Tensor]:
    loss = check_scalar(inner_loss(dict(params), dict(data), step), "inner_loss")
    check_finite(loss.detach(), "inner_loss", step)
    grads = torch.autograd.grad(loss, list(params.values()), create_graph=True, allow_unused=True, materialize_grads=True)
    for name, grad in zip(params, grads, strict=True):
        check_finite(grad.detach(), f"the inner gradient of {name!r}", step)
    return dict(zip(params, grads, strict=True))
