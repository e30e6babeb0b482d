"""``logsumexp(hidden @ table.T)`` with hand-written first and second derivatives: the one V-wide step of a training loss.

Autograd walks over several (N, V) tensors where one suffices, and allocates each anew. Here the exponentials are the only one
that is kept, row scalings are moved to the (N, H) side of every product, and the second derivative reuses what the first one
computed. Second derivatives work in both orders; third ones are refused.

Notation: N rows, V vocabulary, H hidden; z = hidden @ table.T, q = softmax(z), a = cotangent of the result (N,). The first
derivative is (a q) @ table and (a q).T @ hidden. Along a direction (dhidden, dtable), with r = dhidden @ table.T + hidden @
dtable.T and m the row sums of q r, the derivative of q is q (r - m); the product rule gives the rest (``_curvature``).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function


def log_normalizer(hidden: Tensor, table: Tensor) -> Tensor:
    """Return ``logsumexp(hidden @ table.T)``: (N, H) and (V, H) -> (N,).

    Cost: an (N, V) tensor, kept for the derivatives; 3 products of N V H for a gradient, 6 more for a second-order product.
    """
    result: Tensor = _LogNormalizer.apply(hidden, table)[0]  # type: ignore[no-untyped-call]
    return result


class _Curvature(Function):
    """The product of the symmetric second derivative with a direction, and the derivative along it for a.

    A function of its own, because only so can a third derivative be refused instead of being silently wrong.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(*saved_and_direction: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return _curvature(*saved_and_direction)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> None:
        raise NotImplementedError("the third derivative of log_normalizer is not implemented; use logsumexp for it")


def _curvature(*saved_and_direction: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    # exps are q up to a factor per row, scale; mean is q @ table.
    hidden, table, exps, scale, mean, a, dhidden, dtable = saved_and_direction
    ratios = torch.cat([dhidden, hidden], 1) @ torch.cat([table, dtable], 1).T  # r (N, V)
    weighted = ratios.mul_(exps)
    dmean = scale * (exps @ dtable)  # q @ dtable (N, H)
    row_means = ((dhidden * mean).sum(-1) + (hidden * dmean).sum(-1)).unsqueeze(-1)  # m (N, 1)
    along_hidden = a * (scale * (weighted @ table) + dmean - row_means * mean)
    along_table = weighted.T @ (a * scale * hidden) + exps.T @ (a * scale * (dhidden - row_means * hidden))
    return along_hidden, along_table, row_means


class _LogNormalizer(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(hidden: Tensor, table: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        exps = hidden @ table.T
        largest = exps.amax(-1, keepdim=True)
        exps.sub_(largest).exp_()
        sums = exps.sum(-1, keepdim=True)
        return (sums.log() + largest).squeeze(-1), exps, sums.reciprocal()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, Tensor, Tensor]) -> None:
        _, exps, scale = output
        # The derivatives treat these two as constants: what they contribute is in the formulas already.
        ctx.mark_non_differentiable(exps, scale)
        ctx.save_for_backward(*inputs, exps, scale)
        ctx.save_for_forward(*inputs, exps, scale)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, a: Tensor | None, *_: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        if a is None:
            return None, None
        hidden, table, exps, scale = ctx.saved_tensors
        derivatives = _LogNormalizerBackward.apply(hidden, table, exps, scale, a.unsqueeze(-1))  # type: ignore[no-untyped-call]
        along_hidden, along_table, _ = derivatives
        return along_hidden, along_table

    @staticmethod
    def jvp(ctx: Any, dhidden: Tensor | None, dtable: Tensor | None) -> tuple[Tensor, None, None]:
        hidden, table, exps, scale = ctx.saved_tensors
        change = torch.zeros_like(hidden[:, 0])
        if dhidden is not None:
            change = change + (dhidden * (scale * (exps @ table))).sum(-1)
        if dtable is not None:
            change = change + (hidden * (scale * (exps @ dtable))).sum(-1)
        return change, None, None


class _LogNormalizerBackward(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(hidden: Tensor, table: Tensor, exps: Tensor, scale: Tensor, a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean = scale * (exps @ table)
        return a * mean, exps.T @ (a * scale * hidden), mean

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
        hidden, table, exps, scale, a = inputs
        mean = output[2]
        ctx.mark_non_differentiable(mean)
        ctx.save_for_backward(hidden, table, exps, scale, mean, a)
        ctx.save_for_forward(hidden, table, exps, scale, mean, a)

    @staticmethod
    def backward(ctx: Any, dhidden: Tensor, dtable: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        products = _Curvature.apply(*ctx.saved_tensors, dhidden, dtable)  # type: ignore[no-untyped-call]
        along_hidden, along_table, along_a = products
        return along_hidden, along_table, None, None, along_a

    @staticmethod
    def jvp(
        ctx: Any, dhidden: Tensor | None, dtable: Tensor | None, _exps: None, _scale: None, da: Tensor | None
    ) -> tuple[Tensor, Tensor, None]:
        hidden, table, exps, scale, mean, _ = ctx.saved_tensors
        dhidden = torch.zeros_like(hidden) if dhidden is None else dhidden
        dtable = torch.zeros_like(table) if dtable is None else dtable
        along_hidden, along_table, _ = _curvature(*ctx.saved_tensors, dhidden, dtable)
        if da is not None:
            along_hidden = along_hidden + da * mean
            along_table = along_table + exps.T @ (da * scale * hidden)
        return along_hidden, along_table, None
