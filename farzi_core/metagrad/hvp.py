"""The inner gradient, and its second-order products in both orders of differentiation.

Knows the inner loss as a function of named tensors; presents parameters as one flat vector (N,). Knows nothing of Adam.

Cost: a product takes 3 to 4 inner gradients in reverse over reverse, 5 to 6 in forward over reverse; measured for SASRec on one
CPU core in ``docs/design/reverse-adam.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor
from torch.autograd import forward_ad

from farzi_core.metagrad.by_hand import DerivativesByHand, OwnDerivativesError
from farzi_core.metagrad.guards import (
    NotDifferentiableError,
    check_gradient,
    check_scalar,
    explain_autograd_errors,
)
from farzi_core.metagrad.randomness import RandomReplay
from farzi_core.metagrad.vectors import ParamLayout

InnerLoss = Callable[[dict[str, Tensor], dict[str, Tensor], int], Tensor]
Product = Literal["auto", "forward_over_reverse", "reverse_over_reverse"]
PRODUCTS: tuple[Product, ...] = get_args(Product)


class Linearization(Protocol):
    """The inner gradient at one point, and its second-order products there.

    Attributes:
        grad: d inner_loss / d params (N,), without a graph.
    """

    grad: Tensor

    def multiply(self, direction: Tensor, adj_synthetic: dict[str, Tensor]) -> tuple[Tensor, set[str]]:
        """Return ``H direction`` (N,), and add ``(d2 inner_loss / d synthetic d params)^T direction`` to ``adj_synthetic``.

        Once only. The second result names the tensors of the synthetic data that the inner gradient depends on.
        """
        ...


class InnerGradient:
    """First and second derivatives of an inner loss at a flat parameter vector.

    Args:
        inner_loss: (params, synthetic, step) -> scalar.
        synthetic: tensors the loss is a function of; not copied, never modified.
        layout: how the flat vector splits into params.
        product: order of the second derivative.
        is_ensemble: whether the loss runs its members under ``torch.func.vmap``, where autograd's derivatives are taken.
    """

    def __init__(
        self,
        inner_loss: InnerLoss,
        synthetic: dict[str, Tensor],
        layout: ParamLayout,
        product: Product,
        *,
        is_ensemble: bool = False,
    ) -> None:
        self._inner_loss = inner_loss
        self._randomness = RandomReplay(layout.device)
        self.synthetic = synthetic
        self.layout = layout
        # Reverse over reverse is faster on every student and size measured, because it never forms d inner_loss / d synthetic.
        self.is_forward_over_reverse = product == "forward_over_reverse"
        self._needs_autograd = is_ensemble
        self._known: tuple[Tensor, Linearization] | None = None

    def remember(self, params: Tensor, linearization: Linearization) -> None:
        """Let the first thing asked for, if it is at step 0 and with this very ``params``, come from ``linearization``."""
        self._known = (params, linearization)

    def _recall(self, params: Tensor, step: int) -> Linearization | None:
        known, self._known = self._known, None
        return known[1] if step == 0 and known is not None and known[0] is params else None

    def gradient(self, params: Tensor, step: int) -> Tensor:
        """Return d inner_loss / d params (N,); builds no second-order graph."""
        known = self._recall(params, step)
        if known is not None:
            return known.grad
        with explain_autograd_errors("inner_loss"):
            leaves = [part.requires_grad_() for part in self.layout.split(params.detach())]
            loss = self.loss(leaves, self.synthetic, step, DerivativesByHand())
            grads = torch.autograd.grad(loss, leaves, allow_unused=True)
        grad = self.layout.join(list(grads), params)
        check_gradient(loss.detach(), grad, self.layout, step)
        return grad

    def linearize(self, params: Tensor, step: int, grad: Tensor | None = None) -> Linearization:
        """Return the gradient at ``params`` ready for a product; with ``grad`` given, it counts as known."""
        known = self._recall(params, step)
        if known is not None:
            return known
        if self.is_forward_over_reverse:
            return _ForwardOverReverse(self, params, step, self.gradient(params, step) if grad is None else grad)
        return _ReverseOverReverse(self, params, step, grad)

    def loss(
        self, leaves: list[Tensor], synthetic: dict[str, Tensor], step: int, by_hand: DerivativesByHand | None = None
    ) -> Tensor:
        """Return the inner loss, with its random numbers replayed; raises if it changed its arguments.

        Operations that ``by_hand`` knows are differentiated by it, unless this loss was found to need autograd's own.
        """
        if by_hand is None or self._needs_autograd:
            return self._loss(leaves, synthetic, step)
        try:
            with by_hand:
                return self._loss(leaves, synthetic, step)
        except OwnDerivativesError:
            self._needs_autograd = True
            return self._loss(leaves, synthetic, step)

    def _loss(self, leaves: list[Tensor], synthetic: dict[str, Tensor], step: int) -> Tensor:
        params = dict(zip(self.layout.names, leaves, strict=True))
        versions = [tensor._version for tensor in (*leaves, *synthetic.values())]
        with self._randomness.at(step):
            loss = check_scalar(self._inner_loss(params, dict(synthetic), step), "inner_loss")
        if versions != [tensor._version for tensor in (*leaves, *synthetic.values())]:
            raise NotDifferentiableError(
                f"inner_loss changed params or synthetic in place at step {step}; the loop updates params itself, so make new "
                "tensors instead, for example x * 2 instead of x.mul_(2)"
            )
        return loss


class _ReverseOverReverse:
    """Keeps the graph of the gradient, so that the product costs one pass back through it."""

    def __init__(self, inner: InnerGradient, params: Tensor, step: int, grad: Tensor | None) -> None:
        self._layout = inner.layout
        self._params = params
        self._synthetic = {name: value.detach().requires_grad_() for name, value in inner.synthetic.items()}
        with explain_autograd_errors("inner_loss"):
            self._leaves = [part.requires_grad_() for part in self._layout.split(params.detach())]
            by_hand = DerivativesByHand(self._leaves, self._synthetic, gradient_is_known=grad is not None)
            loss = inner.loss(self._leaves, self._synthetic, step, by_hand)
            self._grads = torch.autograd.grad(loss, self._leaves, create_graph=True, allow_unused=True)
        if grad is None:
            grad = self._layout.join([None if part is None else part.detach() for part in self._grads], params)
            check_gradient(loss.detach(), grad, self._layout, step)
        self.grad = grad
        self._owed, self._rows = by_hand.owed, by_hand.rows

    def multiply(self, direction: Tensor, adj_synthetic: dict[str, Tensor]) -> tuple[Tensor, set[str]]:
        outputs, cotangents = [], []
        for grad, part in zip(self._grads, self._layout.split(direction), strict=True):
            if grad is not None and grad.requires_grad:
                outputs.append(grad)
                cotangents.append(part)
        if not outputs:
            return torch.zeros_like(self._params), set()
        num_leaves, num_tensors = len(self._leaves), len(self._synthetic)
        sources = [*self._leaves, *self._synthetic.values(), *(rows.values for rows in self._rows)]
        with explain_autograd_errors("inner_loss"):
            products = torch.autograd.grad(outputs, sources, cotangents, allow_unused=True)
        hvp = self._layout.join(list(products[:num_leaves]), self._params)
        used = _add_products(adj_synthetic, products[num_leaves : num_leaves + num_tensors])
        used |= {name for name, owed in self._owed.items() if owed.add_to(adj_synthetic[name])}
        for rows, product in zip(self._rows, products[num_leaves + num_tensors :], strict=True):
            if rows.add_to(adj_synthetic[rows.name], product):
                used.add(rows.name)
        return hvp, used


class _ForwardOverReverse:
    """Keeps no graph: the direction is needed before the loss is computed."""

    def __init__(self, inner: InnerGradient, params: Tensor, step: int, grad: Tensor) -> None:
        self._inner = inner
        self._params = params
        self._step = step
        self.grad = grad

    def multiply(self, direction: Tensor, adj_synthetic: dict[str, Tensor]) -> tuple[Tensor, set[str]]:
        layout = self._inner.layout
        synthetic = {name: value.detach().requires_grad_() for name, value in self._inner.synthetic.items()}
        with explain_autograd_errors("inner_loss"), forward_ad.dual_level():
            parts = zip(layout.split(self._params.detach()), layout.split(direction), strict=True)
            leaves = [_make_dual(part.requires_grad_(), tangent) for part, tangent in parts]
            loss = self._inner.loss(leaves, synthetic, self._step)
            grads = torch.autograd.grad(loss, leaves + list(synthetic.values()), allow_unused=True)
            tangents = [None if grad is None else _tangent(grad) for grad in grads]
        hvp = layout.join(tangents[: len(leaves)], self._params)
        return hvp, _add_products(adj_synthetic, tangents[len(leaves) :])


def _add_products(adj_synthetic: dict[str, Tensor], products: Sequence[Tensor | None]) -> set[str]:
    """Add each product to the adjoint of the same place, in place, and return the names of those that are there."""
    used = set()
    for (name, adj), product in zip(adj_synthetic.items(), products, strict=True):
        if product is not None:
            adj.add_(product)
            used.add(name)
    return used


def _make_dual(value: Tensor, tangent: Tensor) -> Tensor:
    dual: Tensor = forward_ad.make_dual(value, tangent)  # type: ignore[no-untyped-call]
    return dual


def _tangent(dual: Tensor) -> Tensor | None:
    tangent: Tensor | None = forward_ad.unpack_dual(dual).tangent  # type: ignore[no-untyped-call]
    return tangent
