"""The meta-gradient: train on synthetic data with Adam, then pull the outer loss back through every step.

Knows losses only as functions; nothing of students, data sets or outer optimisers. Derivation and notation:
``docs/design/reverse-adam.md``. Exact for every method but ``truncated`` (by design) and ``published`` (kept as a reference).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from farzi_core.allocator import freed_memory_kept
from farzi_core.errors import ConfigError
from farzi_core.metagrad.adam import AdamAdjoint, AdamConfig, adam_step_reverse, init_adjoint, init_state
from farzi_core.metagrad.ensemble import count_members, mean_of_members, sum_of_members
from farzi_core.metagrad.guards import (
    check_finite,
    check_finite_parts,
    check_scalar,
    check_synthetic_used,
    explain_autograd_errors,
)
from farzi_core.metagrad.hvp import InnerGradient, InnerLoss, Product
from farzi_core.metagrad.methods import Method, WindowPosition, check_arguments, make_trajectory
from farzi_core.metagrad.published import published_step_reverse
from farzi_core.metagrad.reference import OuterLoss, unrolled_meta_gradient
from farzi_core.metagrad.result import MetaGradient
from farzi_core.metagrad.states import InnerStep, Trajectory
from farzi_core.metagrad.vectors import ParamLayout


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
    window_position: WindowPosition = "last",
    generator: torch.Generator | None = None,
    memory_budget_bytes: int | None = None,
    ensemble: bool = False,
) -> MetaGradient:
    """Return the outer loss after an inner loop of Adam, and its gradient with respect to what the loop started from.

    Args:
        inner_loss: (params, synthetic, step) -> scalar tensor, differentiable twice; step counts from 0. A function of its
            arguments and of random numbers; steps may be computed again, and then get the same ones from torch's global
            generators. A generator of the loss's own must be seeded by the step. Large products with a parameter and
            ``logsumexp`` in it are differentiated by this engine's own formulas, unless ``product`` is forward over reverse.
        outer_loss: params -> scalar tensor.
        start_params: floating-point tensors of any shapes, one dtype and device.
        synthetic: floating-point tensors of any shapes.
        adam: constants of the inner optimiser; ``lr`` may be a schedule of T values.
        num_inner_steps: T, at least 1.
        method: how states are kept for the way back; see Cost. ``offloaded`` is ``stored`` unless params are on a GPU.
        product: order of second derivatives; ``auto`` is reverse over reverse. ``forward_over_reverse`` needs operations
            with forward-mode derivatives and is for those whose backward has no derivative of its own.
        window: for ``truncated``, and on request for ``published``: how many steps W are differentiated, the last ones; T or
            more differentiates all. Others ignore it.
        window_position: for ``truncated``: ``last``, or ``random``: the loop ends after N steps, N uniform in W..T; outer
            loss and final params are those after N steps, and the last W of these are differentiated (RaT-BPTT).
        generator: draws N; None: torch's global generator.
        memory_budget_bytes: for ``stored``, ``checkpointed``, ``truncated``: what may be kept for the way back, beyond the
            graph of one step. Checkpoints are placed to fit; what is left holds whole graphs, which saves computing them
            again. None: for ``checkpointed`` about sqrt(T) checkpoints, or more as long as they take less than one graph; for
            all three, 100 / T graphs (of a window: 100 / W), where those beyond the first take at most 256 MiB.
        ensemble: every tensor of ``start_params`` has a leading axis of M members; M inner loops run at once under
            ``torch.func.vmap``. The outer loss is the members' mean; gradients are those of this mean.

    Returns:
        A :class:`MetaGradient`; its tensors carry no graph. Inputs are not modified.

    Raises:
        ConfigError: an argument is not allowed.
        NotDifferentiableError: a loss lost its graph, changes its inputs, or has no second derivative.
        NumericalError: a loss, gradient or adjoint is not finite, or ``reversed`` left the range of its fixed point; carries
            the inner step and the tensor's name.

    Cost: with P parameter bytes, G an inner gradient, R a second-order product (3 to 4 G): ``stored`` P (T + 6 sqrt T) and
        T (G + R); ``checkpointed`` about 4 P sqrt T, or one graph, and T (2 G + R), or T (G + R) where all steps take less
        than one graph; G less for every spare graph that is kept; ``reversed`` a constant, and T (G + R); ``truncated``
        P (W + 6 sqrt W) and T G + W R; ``unrolled`` T graphs.

    Source: reverse accumulation through Adam as derived in ``docs/design/reverse-adam.md``.
    """
    check_arguments(
        method=method,
        product=product,
        num_inner_steps=num_inner_steps,
        window=window,
        window_position=window_position,
        memory_budget_bytes=memory_budget_bytes,
        adam=adam,
    )
    if window_position == "random" and window is not None:
        num_inner_steps = _draw_num_steps(num_inner_steps, window, generator)
    if ensemble:
        count_members(start_params)
        inner_loss, outer_loss = sum_of_members(inner_loss), mean_of_members(outer_loss)
    # Inference mode of the caller must not reach the leaves made here.
    with torch.inference_mode(mode=False), torch.enable_grad(), freed_memory_kept():
        layout = ParamLayout(start_params)
        data = _copy_synthetic(synthetic)
        if method == "unrolled":
            with explain_autograd_errors("inner_loss"):
                return unrolled_meta_gradient(inner_loss, outer_loss, start_params, data, adam, num_inner_steps=num_inner_steps)
        inner = InnerGradient(inner_loss, data, layout, product, is_ensemble=ensemble)
        start = layout.flatten(start_params)
        trajectory = make_trajectory(
            method, inner, adam, start, num_steps=num_inner_steps, window=window, memory_budget_bytes=memory_budget_bytes
        )
        return _Sweep(inner, outer_loss, adam, method).run(trajectory, start, num_inner_steps)


class _Sweep:
    """One inner loop and the way back through it."""

    def __init__(self, inner: InnerGradient, outer_loss: OuterLoss, adam: AdamConfig, method: Method) -> None:
        self._inner = inner
        self._layout = inner.layout
        self._outer_loss = outer_loss
        self._adam = adam
        self._step_reverse = published_step_reverse if method == "published" else adam_step_reverse

    def run(self, trajectory: Trajectory, start: Tensor, num_steps: int) -> MetaGradient:
        adj_synthetic = {name: torch.zeros_like(value) for name, value in self._inner.synthetic.items()}
        adj_rates = start.new_zeros(len(self._adam.schedule or range(num_steps)))
        final = trajectory.run(init_state(start), num_steps)
        outer_loss, adj_params = self._outer_gradient(final.params, num_steps)
        adjoint = init_adjoint(adj_params)
        first_step, synthetic_was_used = num_steps, not adj_synthetic
        for inner_step in trajectory.walk_back():
            adjoint, used = self._step_back(adjoint, inner_step, adj_synthetic)
            first_step = inner_step.step
            check_finite_parts(adjoint.adj_params, self._layout, "the adjoint", first_step)
            adj_rates[first_step] = adjoint.adj_lr
            synthetic_was_used = synthetic_was_used or bool(used)
        check_synthetic_used(synthetic_was_used)
        for name, adj in adj_synthetic.items():
            check_finite(adj, f"the meta-gradient of {name!r}", first_step)
        check_finite(adj_rates, "the adjoint of lr", first_step)
        adj_start = adjoint.adj_params if first_step == 0 else torch.zeros_like(start)
        return MetaGradient(
            outer_loss=outer_loss,
            synthetic=adj_synthetic,
            start_params=self._layout.name(adj_start),
            lr=adj_rates.sum() if self._adam.schedule is None else adj_rates,
            final_params=self._layout.name(final.params),
            replay_error=trajectory.replay_error,
            num_inner_steps=num_steps,
        )

    def _step_back(
        self, adjoint: AdamAdjoint, inner_step: InnerStep, adj_synthetic: dict[str, Tensor]
    ) -> tuple[AdamAdjoint, set[str]]:
        """Return the adjoint before the step, with the step's own ``adj_lr``; add to the synthetic data's what it is owed.

        The second result names the synthetic tensors that the step depends on.
        """
        adjoint = replace(adjoint, adj_lr=torch.zeros_like(adjoint.adj_lr))
        adjoint, adj_grad = self._step_reverse(adjoint, inner_step.after, inner_step.grad, self._adam)
        linearization = inner_step.linearization
        if linearization is None:
            linearization = self._inner.linearize(inner_step.params, inner_step.step, inner_step.grad)
        hvp, used = linearization.multiply(adj_grad, adj_synthetic)
        return replace(adjoint, adj_params=adjoint.adj_params + hvp), used

    def _outer_gradient(self, params: Tensor, num_steps: int) -> tuple[Tensor, Tensor]:
        leaves = [part.requires_grad_() for part in self._layout.split(params.detach().clone())]
        with explain_autograd_errors("outer_loss"):
            loss = check_scalar(self._outer_loss(dict(zip(self._layout.names, leaves, strict=True))), "outer_loss")
            grads = torch.autograd.grad(loss, leaves, allow_unused=True)
        check_finite(loss.detach(), "outer_loss", num_steps)
        adj_params = self._layout.join(list(grads), params)
        check_finite_parts(adj_params, self._layout, "the outer gradient", num_steps)
        return loss.detach(), adj_params


def _draw_num_steps(num_steps: int, window: int, generator: torch.Generator | None) -> int:
    """Return where a window at a random place ends: W to T, all equally likely."""
    if window >= num_steps:
        return num_steps
    device = None if generator is None else generator.device
    return int(torch.randint(window, num_steps + 1, (1,), generator=generator, device=device))


def _copy_synthetic(synthetic: Mapping[str, Tensor]) -> dict[str, Tensor]:
    for name, value in synthetic.items():
        if not value.dtype.is_floating_point:
            raise ConfigError(f"synthetic[{name!r}] is {value.dtype}; only floating-point tensors have gradients: convert it")
    return {name: value.detach().clone() for name, value in synthetic.items()}
