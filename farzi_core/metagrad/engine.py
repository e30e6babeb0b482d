"""The meta-gradient: train on synthetic data with Adam, then pull the outer loss back through every step.

Knows losses only as functions; nothing of students, data sets or outer optimisers. Derivation and notation:
``docs/design/reverse-adam.md``. Exact for every method but ``truncated`` (by design) and ``published`` (kept as a reference).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, get_args

import torch
from torch import Tensor

from farzi_core.errors import ConfigError
from farzi_core.metagrad.adam import AdamConfig, AdamState, adam_step, adam_step_reverse, init_adjoint, init_state
from farzi_core.metagrad.guards import (
    NotDifferentiableError,
    check_finite,
    check_finite_parts,
    check_scalar,
    explain_autograd_errors,
)
from farzi_core.metagrad.hvp import PRODUCTS, InnerGradient, InnerLoss, Product
from farzi_core.metagrad.published import published_step_reverse
from farzi_core.metagrad.reference import OuterLoss, unrolled_meta_gradient
from farzi_core.metagrad.result import MetaGradient
from farzi_core.metagrad.states import CheckpointedTrajectory, InnerStep, StoredTrajectory, Trajectory
from farzi_core.metagrad.vectors import ParamLayout

Method = Literal["stored", "checkpointed", "truncated", "published", "unrolled"]
METHODS: tuple[Method, ...] = get_args(Method)


def compute_meta_gradient(
    inner_loss: InnerLoss,
    outer_loss: OuterLoss,
    start_params: Mapping[str, Tensor],
    synthetic: Mapping[str, Tensor],
    adam: AdamConfig = AdamConfig(),  # noqa: B008  frozen
    *,
    num_inner_steps: int = 200,
    method: Method = "checkpointed",
    product: Product = "auto",
    window: int | None = None,
) -> MetaGradient:
    """Return the outer loss after an inner loop of Adam, and its gradient with respect to what the loop started from.

    Args:
        inner_loss: (params, synthetic, step) -> scalar tensor, differentiable twice; step counts from 0. A function of its
            arguments alone: noise must be drawn from a generator seeded by the step, since steps may be computed again.
        outer_loss: params -> scalar tensor.
        start_params: floating-point tensors of any shapes, one dtype and device.
        synthetic: floating-point tensors of any shapes.
        adam: constants of the inner optimiser.
        num_inner_steps: T, at least 1.
        method: how states are kept for the way back; see Cost.
        product: order of second derivatives; ``auto`` is reverse over reverse. ``forward_over_reverse`` needs operations
            with forward-mode derivatives and is for those whose backward has no derivative of its own.
        window: for ``truncated``: how many of the last steps are differentiated; T or more differentiates all. Other
            methods ignore it.

    Returns:
        A :class:`MetaGradient`; its tensors carry no graph. Inputs are not modified.

    Raises:
        ConfigError: an argument is not allowed.
        NotDifferentiableError: a loss lost its graph, changes its inputs, or has no second derivative.
        NumericalError: a loss, gradient or adjoint is not finite; carries the inner step and the tensor's name.

    Cost: with P parameter bytes, G an inner gradient, R a second-order product (3 to 4 G): ``stored`` 4 P T and
    T (G + R); ``checkpointed`` about 7 P sqrt(T) and T (2 G + R); ``truncated`` 4 P W and T G + W R; ``unrolled`` T graphs.

    Source: reverse accumulation through Adam as derived in ``docs/design/reverse-adam.md``.
    """
    _check_arguments(method, product, num_inner_steps, window)
    # Inference mode of the caller must not reach the leaves made here.
    with torch.inference_mode(mode=False), torch.enable_grad():
        layout = ParamLayout(start_params)
        data = _copy_synthetic(synthetic)
        if method == "unrolled":
            with explain_autograd_errors("inner_loss"):
                return unrolled_meta_gradient(inner_loss, outer_loss, start_params, data, adam, num_inner_steps=num_inner_steps)
        inner = InnerGradient(inner_loss, data, layout, product)
        return _Sweep(inner, outer_loss, adam, method).run(layout.flatten(start_params), num_inner_steps, window)


class _Sweep:
    """One inner loop and the way back through it."""

    def __init__(self, inner: InnerGradient, outer_loss: OuterLoss, adam: AdamConfig, method: Method) -> None:
        self._inner = inner
        self._layout = inner.layout
        self._outer_loss = outer_loss
        self._adam = adam
        self._method = method
        self._step_reverse = published_step_reverse if method == "published" else adam_step_reverse

    def run(self, start: Tensor, num_steps: int, window: int | None) -> MetaGradient:
        adj_synthetic = {name: torch.zeros_like(value) for name, value in self._inner.synthetic.items()}
        trajectory = self._trajectory(window)
        final = trajectory.run(init_state(start), num_steps)
        outer_loss, adj_params = self._outer_gradient(final.params, num_steps)
        adjoint = init_adjoint(adj_params)
        first_step = num_steps
        for inner_step in trajectory.walk_back():
            adjoint, adj_grad = self._step_reverse(adjoint, inner_step.after, inner_step.grad, self._adam)
            hvp, mixed_vp = self._inner.multiply(inner_step.params, adj_grad, inner_step.step)
            adjoint = replace(adjoint, adj_params=adjoint.adj_params + hvp)
            check_finite_parts(adjoint.adj_params, self._layout, "the adjoint", inner_step.step)
            for name, product in mixed_vp.items():
                adj_synthetic[name] += product
            first_step = inner_step.step
        self._check_synthetic(adj_synthetic, first_step)
        check_finite(adjoint.adj_lr, "the adjoint of lr", first_step)
        adj_start = adjoint.adj_params if first_step == 0 else torch.zeros_like(start)
        return MetaGradient(
            outer_loss=outer_loss,
            synthetic=adj_synthetic,
            start_params=self._layout.name(adj_start),
            lr=adjoint.adj_lr,
            final_params=self._layout.name(final.params),
            replay_error=trajectory.replay_error,
        )

    def _trajectory(self, window: int | None) -> Trajectory:
        if self._method == "checkpointed":
            return CheckpointedTrajectory(self._advance)
        return StoredTrajectory(self._advance, window if self._method == "truncated" else None)

    def _advance(self, state: AdamState) -> InnerStep:
        grad = self._inner.gradient(state.params, state.step)
        return InnerStep(state.step, state.params, grad, adam_step(state, grad, self._adam))

    def _outer_gradient(self, params: Tensor, num_steps: int) -> tuple[Tensor, Tensor]:
        leaves = [part.requires_grad_() for part in self._layout.split(params.detach().clone())]
        with explain_autograd_errors("outer_loss"):
            loss = check_scalar(self._outer_loss(dict(zip(self._layout.names, leaves, strict=True))), "outer_loss")
            grads = torch.autograd.grad(loss, leaves, allow_unused=True)
        check_finite(loss.detach(), "outer_loss", num_steps)
        adj_params = self._layout.join(list(grads), params)
        check_finite_parts(adj_params, self._layout, "the outer gradient", num_steps)
        return loss.detach(), adj_params

    def _check_synthetic(self, adj_synthetic: dict[str, Tensor], step: int) -> None:
        if adj_synthetic and not self._inner.synthetic_was_used:
            raise NotDifferentiableError(
                "the inner gradient depends on none of the synthetic tensors, so their meta-gradient would be 0; remove "
                ".detach(), .item(), .data and torch.no_grad() from inner_loss, and use the synthetic data it is given"
            )
        for name, adj in adj_synthetic.items():
            check_finite(adj, f"the meta-gradient of {name!r}", step)


def _check_arguments(method: str, product: str, num_inner_steps: int, window: int | None) -> None:
    if method not in METHODS:
        raise ConfigError(f"method={method!r} is not known; allowed: {', '.join(METHODS)}", pointer="/meta_gradient/method")
    if product not in PRODUCTS:
        raise ConfigError(f"product={product!r} is not known; allowed: {', '.join(PRODUCTS)}")
    if num_inner_steps < 1:
        raise ConfigError(f"num_inner_steps={num_inner_steps} trains nothing; give 1 or more", pointer="/inner/num_steps")
    if method == "truncated" and (window is None or window < 1):
        raise ConfigError(
            f"method 'truncated' was given window={window}; give the number of last inner steps to differentiate, 1 or more",
            pointer="/meta_gradient/window",
        )


def _copy_synthetic(synthetic: Mapping[str, Tensor]) -> dict[str, Tensor]:
    for name, value in synthetic.items():
        if not value.dtype.is_floating_point:
            raise ConfigError(f"synthetic[{name!r}] is {value.dtype}; only floating-point tensors have gradients: convert it")
    return {name: value.detach().clone() for name, value in synthetic.items()}
