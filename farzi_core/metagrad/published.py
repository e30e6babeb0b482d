"""One step back by the recursion of the Farzi paper: kept to be compared with, it is not the gradient.

A single moment adjoint decays with beta1 and carries both paths; see ``docs/design/reverse-adam.md``. Source: Sachdeva et al.
2023, arXiv 2310.09983, Algorithm 1; ``eps_root``, which the paper does not have, enters the root as in ``adam_step``.
"""

from __future__ import annotations

import math

from torch import Tensor

from farzi_core.metagrad.adam import AdamAdjoint, AdamConfig, AdamState


def published_step_reverse(
    adjoint: AdamAdjoint, after: AdamState, grad: Tensor, config: AdamConfig
) -> tuple[AdamAdjoint, Tensor]:
    """Return the paper's adjoints before the step and its direction of the second-order product.

    Same arguments and results as :func:`farzi_core.metagrad.adam.adam_step_reverse`; ``adj_exp_avg`` holds the paper's one
    moment adjoint and ``adj_exp_avg_sq`` stays 0.
    """
    beta1, beta2 = config.betas
    correction1, correction2 = 1.0 - beta1**after.step, 1.0 - beta2**after.step
    scale = math.sqrt(correction2) / correction1
    rate = config.rate(after.step - 1) * scale
    eps = config.eps * math.sqrt(correction2)
    root = (after.exp_avg_sq + config.eps_root * correction2).sqrt()
    divisor = root + eps
    through_root = (1.0 - beta2) / (1.0 - beta1) * after.exp_avg * grad / (root * divisor.square())
    if config.eps_root == 0.0:
        through_root = through_root.masked_fill(root == 0.0, 0.0)
    adj_moment = adjoint.adj_exp_avg + rate * (through_root - 1.0 / divisor) * adjoint.adj_params
    adj_lr = adjoint.adj_lr - scale * (adjoint.adj_params * after.exp_avg / divisor).sum()
    before = AdamAdjoint(adjoint.adj_params, beta1 * adj_moment, adjoint.adj_exp_avg_sq, adj_lr)
    return before, (1.0 - beta1) * adj_moment
