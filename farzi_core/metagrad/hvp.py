"""The inner gradient, and its second-order products in both orders of differentiation.

Knows the inner loss as a function of named tensors; presents parameters as one flat vector (N,). Knows nothing of Adam.

Cost: a product takes 3 to 4 inner gradients in reverse over reverse, 5 to 6 in forward over reverse; measured for SASRec on one
CPU core in ``docs/design/reverse-adam.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.autograd import forward_ad

from farzi_core.metagrad.guards import (
    NotDifferentiableError,
    check_finite,
    check_finite_parts,
    check_scalar,
    explain_autograd_errors,
)
from farzi_core.metagrad.vectors import ParamLayout

InnerLoss = Callable[[dict[str, Tensor], dict[str, Tensor], int], Tensor]
Product = Literal["auto", "forward_over_reverse", "reverse_over_reverse"]
PRODUCTS: tuple[Product, ...] = get_args(Product)


class InnerGradient:
    """First and second derivatives of an inner loss at a flat parameter vector.

    Args:
        inner_loss: (params, synthetic, step) -> scalar.
        synthetic: tensors the loss is a function of; not copied, never modified.
        layout: how the flat vector splits into params.
        product: order of the second derivative.
    """

    def __init__(self, inner_loss: InnerLoss, synthetic: dict[str, Tensor], layout: ParamLayout, product: Product) -> None:
        self._inner_loss = inner_loss
        self.synthetic = synthetic
        self.layout = layout
        # Reverse over reverse is faster on every student and size measured, because it never forms d inner_loss / d synthetic.
        self._multiply = self._forward_over_reverse if product == "forward_over_reverse" else self._reverse_over_reverse
        self.synthetic_was_used = False

    def gradient(self, params: Tensor, step: int) -> Tensor:
        """Return d inner_loss / d params (N,); builds no second-order graph."""
        with explain_autograd_errors("inner_loss"):
            leaves = [part.requires_grad_() for part in self.layout.split(params.detach())]
            loss = self._loss(leaves, self.synthetic, step)
            grads = torch.autograd.grad(loss, leaves, allow_unused=True)
        check_finite(loss.detach(), "inner_loss", step)
        grad = self.layout.join(list(grads), params)
        check_finite_parts(grad, self.layout, "the inner gradient", step)
        return grad

    def multiply(self, params: Tensor, direction: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Return ``H direction`` (N,) and ``(d2 inner_loss / d synthetic d params)^T direction`` by name.

        Tensors of the synthetic data that the inner gradient does not depend on are left out of the second result.
        """
        with explain_autograd_errors("inner_loss"):
            hvp, mixed_vp = self._multiply(params, direction, step)
        self.synthetic_was_used = self.synthetic_was_used or bool(mixed_vp)
        return hvp, mixed_vp

    def _reverse_over_reverse(self, params: Tensor, direction: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        leaves = [part.requires_grad_() for part in self.layout.split(params.detach())]
        synthetic = {name: value.detach().requires_grad_() for name, value in self.synthetic.items()}
        loss = self._loss(leaves, synthetic, step)
        grads = torch.autograd.grad(loss, leaves, create_graph=True, allow_unused=True)
        outputs, cotangents = [], []
        for grad, part in zip(grads, self.layout.split(direction), strict=True):
            if grad is not None and grad.requires_grad:
                outputs.append(grad)
                cotangents.append(part)
        if not outputs:
            return torch.zeros_like(params), {}
        sources = leaves + list(synthetic.values())
        products = torch.autograd.grad(outputs, sources, cotangents, allow_unused=True)
        hvp = self.layout.join(list(products[: len(leaves)]), params)
        mixed_vp = zip(synthetic, products[len(leaves) :], strict=True)
        return hvp, {name: product for name, product in mixed_vp if product is not None}

    def _forward_over_reverse(self, params: Tensor, direction: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        synthetic = {name: value.detach().requires_grad_() for name, value in self.synthetic.items()}
        with forward_ad.dual_level():
            parts = zip(self.layout.split(params.detach()), self.layout.split(direction), strict=True)
            leaves = [_make_dual(part.requires_grad_(), tangent) for part, tangent in parts]
            loss = self._loss(leaves, synthetic, step)
            grads = torch.autograd.grad(loss, leaves + list(synthetic.values()), allow_unused=True)
            tangents = [None if grad is None else _tangent(grad) for grad in grads]
        hvp = self.layout.join(tangents[: len(leaves)], params)
        mixed_vp = zip(synthetic, tangents[len(leaves) :], strict=True)
        return hvp, {name: tangent for name, tangent in mixed_vp if tangent is not None}

    def _loss(self, leaves: list[Tensor], synthetic: dict[str, Tensor], step: int) -> Tensor:
        params = dict(zip(self.layout.names, leaves, strict=True))
        versions = [tensor._version for tensor in (*leaves, *synthetic.values())]
        loss = check_scalar(self._inner_loss(params, dict(synthetic), step), "inner_loss")
        if versions != [tensor._version for tensor in (*leaves, *synthetic.values())]:
            raise NotDifferentiableError(
                f"inner_loss changed params or synthetic in place at step {step}; the loop updates params itself, so make new "
                "tensors instead, for example x * 2 instead of x.mul_(2)"
            )
        return loss


def _make_dual(value: Tensor, tangent: Tensor) -> Tensor:
    dual: Tensor = forward_ad.make_dual(value, tangent)  # type: ignore[no-untyped-call]
    return dual


def _tangent(dual: Tensor) -> Tensor | None:
    tangent: Tensor | None = forward_ad.unpack_dual(dual).tangent  # type: ignore[no-untyped-call]
    return tangent
