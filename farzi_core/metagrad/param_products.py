"""Matrix products with a parameter, differentiated twice by hand: where the inner loss of soft tokens spends its time.

Autograd knows a product ``left @ right`` as a function like any other. Whoever walks back through an inner loop knows more:

- The gradient is known already, from the way forward. Only its graph is needed, so the value of ``left.T @ cotangent``, the
  largest product of the first derivative, is left out. This is exact where ``right`` is a parameter itself, or its transpose:
  nothing but an exchange of axes lies between that value and the end of the graph, so no second derivative reads it.
- A direction meets ``cotangent`` through two products of one shape; they are one product of twice the depth.
- What synthetic data as ``left`` is owed is a sum of such products over the whole graph: formed at once, and added in place.

Notation: left (n, k), right (k, m), cotangent (n, m); leading axes of ``left`` are flattened into n.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function


@dataclass
class OwedProducts:
    """What one tensor of the synthetic data is owed: the sum of ``x @ y.T`` over pairs x (n, m), y (k, m)."""

    pairs: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def add_to(self, total: Tensor) -> bool:
        """Add the sum to ``total``, contiguous with n k entries, in place; forget the pairs; return whether there were any."""
        if not self.pairs:
            return False
        with torch.no_grad():
            left, right = (torch.cat(parts, 1) for parts in zip(*self.pairs, strict=True))
            total.view(left.shape[0], right.shape[0]).addmm_(left, right.T)
        self.pairs.clear()
        return True


@dataclass(frozen=True)
class Treatment:
    """How a product is differentiated.

    Attributes:
        owed: is told what ``left`` is owed in the second derivative; ``left`` is then a constant to autograd.
        gradient_is_known: give ``right`` a first derivative whose value is 0 and whose graph is right.
        left_has_params: parameters have a part in ``left``; else its first derivative leads nowhere, and is left out.
    """

    owed: OwedProducts | None
    gradient_is_known: bool
    left_has_params: bool


def multiply(left: Tensor, right: Tensor, treatment: Treatment) -> Tensor:
    """Return ``left @ right``: (..., k) and (k, m) -> (..., m), with the same bits as torch's own product.

    ``right`` is a parameter, or its transpose.

    Cost: nothing is kept but ``left``, ``right`` and, for the second derivative, the cotangent.
    """
    product: Tensor = _Product.apply(left, right, treatment)  # type: ignore[no-untyped-call]
    return product


class _Product(Function):
    @staticmethod
    def forward(ctx: Any, left: Tensor, right: Tensor, treatment: Treatment) -> Tensor:
        ctx.save_for_backward(left, right)
        ctx.treatment = treatment
        return left @ right

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        left, right = ctx.saved_tensors
        if torch.is_grad_enabled():
            of_left, of_right = _ProductBackward.apply(cotangent, left, right, ctx.treatment)  # type: ignore[no-untyped-call]
            return of_left, of_right, None
        rows = _rows(cotangent)
        if ctx.treatment.owed is not None:
            ctx.treatment.owed.pairs.append((rows, right))
        of_left = (rows @ right.T).view(left.shape) if ctx.needs_input_grad[0] else None
        return of_left, _rows(left).T @ rows, None


class _ProductBackward(Function):
    """The first derivative of a product for the parameters. Its own derivative is the last: a third is refused."""

    @staticmethod
    def forward(ctx: Any, cotangent: Tensor, left: Tensor, right: Tensor, treatment: Treatment) -> tuple[Tensor | None, Tensor]:
        ctx.save_for_backward(cotangent, left, right)
        ctx.owed = treatment.owed
        ctx.set_materialize_grads(False)
        rows = _rows(cotangent)
        of_left = (rows @ right.T).view(left.shape) if treatment.left_has_params else None
        of_right = right.new_zeros(()).expand(right.shape) if treatment.gradient_is_known else _rows(left).T @ rows
        return of_left, of_right

    @staticmethod
    def backward(ctx: Any, along_left: Tensor | None, along_right: Tensor | None) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise NotImplementedError("the third derivative of a product by hand is not implemented")
        cotangent, left, right = ctx.saved_tensors
        rows, left_rows = _rows(cotangent), _rows(left)
        of_left = of_right = of_cotangent = None
        if along_right is not None:
            if ctx.owed is not None:
                ctx.owed.pairs.append((rows, along_right))
            elif ctx.needs_input_grad[1]:
                of_left = (rows @ along_right.T).view(left.shape)
        if along_left is not None:
            along_rows = _rows(along_left)
            of_right = along_rows.T @ rows
            if along_right is not None:
                left_rows, along_right = torch.cat([along_rows, left_rows], 1), torch.cat([right, along_right])
            else:
                left_rows, along_right = along_rows, right
        if along_right is not None:
            of_cotangent = (left_rows @ along_right).view(cotangent.shape)
        return of_cotangent, of_left, of_right, None


def _rows(value: Tensor) -> Tensor:
    return value.reshape(-1, value.shape[-1])
