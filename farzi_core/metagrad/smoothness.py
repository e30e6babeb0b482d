"""How far gradients of a training can be trusted: metasmoothness, from three trainings along a direction.

Knows losses as functions. With ``A`` the map from synthetic data to trained parameters, ``f`` the outer loss after it, ``v`` a
direction and ``h`` a size, let ``D(x) = A(x + h v) - A(x)`` and ``d(x) = (f(x + h v) - f(x)) / h``. Then

    agreement = sum_i  sign(D(x)_i)  |D(x)_i| / ||D(x)||_1  sign(D(x + h v)_i)        in [-1, 1]
    curvature = |d(x + h v) - d(x)| / h

The agreement is the empirical metasmoothness of Engstrom et al. 2025, "Optimizing ML Training with Metagradient Descent",
arXiv 2503.13751, and the curvature the finite-difference smoothness they start from, both as far as we know the paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from farzi_core.errors import ConfigError
from farzi_core.metagrad.adam import AdamConfig, adam_step, init_state
from farzi_core.metagrad.guards import check_finite
from farzi_core.metagrad.hvp import InnerGradient, InnerLoss
from farzi_core.metagrad.reference import OuterLoss
from farzi_core.metagrad.vectors import ParamLayout


@dataclass(frozen=True)
class Metasmoothness:
    """What three trainings along a direction say of the training.

    Attributes:
        agreement: 1: both steps move every parameter the same way; near 0: they have nothing in common, and the gradient says
            nothing about a step of this size.
        curvature: how fast the slope of the outer loss changes; 0 for a straight line.
    """

    agreement: float
    curvature: float


def measure_metasmoothness(
    inner_loss: InnerLoss,
    outer_loss: OuterLoss,
    start_params: Mapping[str, Tensor],
    synthetic: Mapping[str, Tensor],
    direction: Mapping[str, Tensor],
    *,
    adam: AdamConfig = AdamConfig(),  # noqa: B008  frozen
    num_inner_steps: int,
    size: float,
) -> Metasmoothness:
    """Return the metasmoothness of an inner loop at ``synthetic`` along ``direction``.

    Args:
        inner_loss: as in ``compute_meta_gradient``.
        outer_loss: as in ``compute_meta_gradient``.
        start_params: as in ``compute_meta_gradient``.
        synthetic: x.
        direction: v, named and shaped as ``synthetic``, not all 0; for example a normalised meta-gradient.
        adam: constants of the inner optimiser.
        num_inner_steps: T.
        size: h, positive; for example the size of an outer step.

    Raises:
        ConfigError: the direction does not fit, or the size is not positive.
        NumericalError: a loss or gradient is not finite.

    Cost: 3 T inner gradients; no memory in T.
    """
    if {name: value.shape for name, value in direction.items()} != {name: value.shape for name, value in synthetic.items()}:
        raise ConfigError("direction must have the names and shapes of synthetic; torch.randn_like of each tensor is one")
    if not size > 0:
        raise ConfigError(f"size={size} is no step; give a number above 0")
    layout = ParamLayout(start_params)
    trained: list[Tensor] = []
    losses: list[float] = []
    with torch.inference_mode(mode=False), torch.enable_grad():
        for multiple in range(3):
            data = {name: value.detach() + multiple * size * direction[name].detach() for name, value in synthetic.items()}
            inner = InnerGradient(inner_loss, data, layout, "auto")
            # All three trainings draw the same random numbers.
            with torch.random.fork_rng([layout.device] if layout.device.type == "cuda" else []):
                params = _train(inner, layout.flatten(start_params), adam, num_inner_steps)
                loss = outer_loss(layout.name(params)).detach()
            check_finite(loss, "outer_loss", num_inner_steps)
            trained.append(params)
            losses.append(float(loss))
    first, second = trained[1] - trained[0], trained[2] - trained[1]
    total = first.abs().sum()
    if not bool(total > 0):
        raise ConfigError(
            f"a step of size {size} along direction changes no trained parameter; give a larger size, or a direction that "
            "inner_loss depends on"
        )
    agreement = (first * second.sign()).sum() / total
    return Metasmoothness(float(agreement), abs(losses[2] - 2 * losses[1] + losses[0]) / size**2)


def _train(inner: InnerGradient, start: Tensor, adam: AdamConfig, num_steps: int) -> Tensor:
    state = init_state(start)
    for step in range(num_steps):
        state = adam_step(state, inner.gradient(state.params, step), adam)
    return state.params
