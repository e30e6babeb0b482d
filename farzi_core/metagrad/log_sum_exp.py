"""``logsumexp`` over the last axis, differentiated twice by hand: the exponentials are computed once.

Autograd keeps the logits, and takes their exponentials for the result and once more for the first derivative. Here those of
the result are kept, in the logits' place.

Notation: x (..., V) logits, q = softmax(x), a = cotangent of the result (...). The first derivative is a q. Along a direction
d (..., V), with m the row sums of q d, that of q is q (d - m).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function


def log_sum_exp(logits: Tensor) -> Tensor:
    """Return ``torch.logsumexp(logits, -1)``: (..., V) -> (...), with a second derivative and no third.

    Cost: an (..., V) tensor kept for the first derivative, and another for the second.
    """
    result: Tensor = _LogSumExp.apply(logits)[0]  # type: ignore[no-untyped-call]
    return result


class _LogSumExp(Function):
    """Returns the exponentials as well: on the way back, they bring what is owed to the logits they were made of."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        largest = logits.amax(-1, keepdim=True)
        largest.masked_fill_(largest.isinf(), 0.0)  # as torch does: a row of -inf sums to 0, not to NaN
        exps = torch.sub(logits, largest).exp_()
        sums = exps.sum(-1, keepdim=True)
        scale = sums.reciprocal()
        ctx.mark_non_differentiable(scale)
        ctx.save_for_backward(exps, scale)
        ctx.set_materialize_grads(False)
        return sums.log_().add_(largest).squeeze(-1), exps, scale

    @staticmethod
    def backward(ctx: Any, a: Tensor | None, of_logits: Tensor | None, _: None) -> Tensor | None:
        if a is None:
            return of_logits
        exps, scale = ctx.saved_tensors
        if torch.is_grad_enabled():
            slope: Tensor = _LogSumExpBackward.apply(exps, scale, a)  # type: ignore[no-untyped-call]
            return slope
        factor = a.unsqueeze(-1) * scale
        return exps * factor if of_logits is None else torch.addcmul(of_logits, exps, factor)


class _LogSumExpBackward(Function):
    @staticmethod
    def forward(ctx: Any, exps: Tensor, scale: Tensor, a: Tensor) -> Tensor:
        slope = exps * (a.unsqueeze(-1) * scale)
        ctx.save_for_backward(exps, scale, slope)
        return slope

    @staticmethod
    def backward(ctx: Any, direction: Tensor) -> tuple[Tensor, None, Tensor]:
        if torch.is_grad_enabled():
            raise NotImplementedError("the third derivative of logsumexp by hand is not implemented")
        exps, scale, slope = ctx.saved_tensors
        width = exps.shape[-1]
        row_sums = torch.bmm(exps.reshape(-1, 1, width), direction.reshape(-1, width, 1))
        means = row_sums.view(scale.shape) * scale
        return torch.sub(direction, means).mul_(slope), None, means.squeeze(-1)
