"""Finds, while a loss is computed, the operations whose derivatives are faster by hand, and puts those in their place.

The loss is a caller's, written in torch's own operations; it need not know of this. An operation is replaced only where that is
certain to be the same function with the same two derivatives; everything else stays autograd's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from farzi_core.metagrad.log_sum_exp import log_sum_exp
from farzi_core.metagrad.param_products import OwedProducts, Treatment, multiply

# Calls into Python are not worth it for less. Chosen by the size of a call, not searched.
MIN_MULTIPLICATIONS = 10_000_000
MIN_LOGITS = 100_000

_PRODUCTS = {torch.matmul, torch.mm, torch.Tensor.matmul, torch.Tensor.mm}
_LOG_SUMS = {torch.logsumexp, torch.Tensor.logsumexp}
_OWN_DERIVATIVES = {torch.autograd.grad, torch.Tensor.register_hook}
_TRANSPOSITIONS = {"TBackward0", "TransposeBackward0", "PermuteBackward0"}


class OwnDerivativesError(Exception):
    """The loss takes derivatives itself, or reads or changes them on their way; only autograd knows what follows from that."""


@dataclass(frozen=True)
class Rows:
    """Rows of one tensor of the synthetic data, a leaf of their own: autograd would owe every row of the tensor something.

    Attributes:
        name: of the tensor.
        numbers: int64 (B,), which rows, from 0; one may be there more than once.
        values: (B, ...), the leaf.
        taken: what the loss has of it: a copy, which it may change in place.
        owed: what the leaf is owed for products inside; autograd does not see it.
    """

    name: str
    numbers: Tensor
    values: Tensor
    taken: Tensor
    owed: OwedProducts

    def add_to(self, total: Tensor, product: Tensor | None) -> bool:
        """Add ``product``, which is what autograd owes the leaf, and :attr:`owed` in place; return whether there was either."""
        if product is not None:
            total.index_add_(0, self.numbers, product)
        if not self.owed.pairs:
            return product is not None
        owed = torch.zeros_like(self.values)
        self.owed.add_to(owed)
        total.index_add_(0, self.numbers, owed)
        return True


class DerivativesByHand(TorchFunctionMode):
    """Inside, products with a parameter, sums of exponentials and rows of the synthetic data are differentiated by hand.

    Args:
        params: the parameters, leaves that require a gradient; none: products stay autograd's.
        synthetic: the synthetic data by name, leaves.
        gradient_is_known: leave out the values of the parameters' gradient: what autograd returns for it is then partly 0, and
            only its graph means something.

    Attributes:
        owed: by name, what synthetic data is owed for products inside; autograd does not see it.
        rows: of the synthetic data that the loss took by their numbers; autograd sees these instead of the data.

    Raises:
        OwnDerivativesError: the loss calls ``torch.autograd.grad``, or registers a hook on a tensor.
    """

    def __init__(
        self, params: Iterable[Tensor] = (), synthetic: Mapping[str, Tensor] | None = None, *, gradient_is_known: bool = False
    ) -> None:
        super().__init__()
        self._params = {id(param) for param in params}
        self._names = {id(value): name for name, value in (synthetic or {}).items() if value.is_contiguous()}
        self._gradient_is_known = gradient_is_known
        self._hooks = _saving_hooks()
        self.owed = {name: OwedProducts() for name in self._names.values()}
        self.rows: list[Rows] = []

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _OWN_DERIVATIVES:
            raise OwnDerivativesError
        if func in _LOG_SUMS and args and _is_last_axis(*args, **kwargs) and self._is_plain(args[0]):
            return log_sum_exp(args[0])
        if func is torch.Tensor.__getitem__ and self._takes_rows(*args):
            return self._take_rows(*args)
        if not kwargs and len(args) == 2 and (func in _PRODUCTS or func is functional.linear):
            left, right = args
            if self._is_param_product(left, right, right_is_transposed=func is functional.linear):
                return self._multiply(left, right.T if func is functional.linear else right)
        return func(*args, **kwargs)

    def _multiply(self, left: Tensor, right: Tensor) -> Tensor:
        owed = self._find_owed(left)
        treatment = Treatment(owed, self._gradient_is_known, self._depends_on_params(left))
        return multiply(left if owed is None else left.detach(), right, treatment)

    def _find_owed(self, value: Tensor) -> OwedProducts | None:
        """Return where to note what synthetic data, or rows of them as they were taken, are owed; None for any other tensor."""
        name = self._names.get(id(value))
        if name is not None:
            return self.owed[name]
        return next((rows.owed for rows in self.rows if rows.taken is value and value._version == 0), None)

    def _takes_rows(self, table: Tensor, index: Any) -> bool:
        """Return whether ``table[index]`` is rows of synthetic data, by their numbers."""
        by_number = isinstance(index, Tensor) and index.dtype == torch.int64 and index.ndim == 1
        return by_number and id(table) in self._names and self._is_plain(table)

    def _take_rows(self, table: Tensor, numbers: Tensor) -> Tensor:
        values = table.detach()[numbers].requires_grad_()
        # An index may count from the end and lie on the processor; index_add_ takes neither.
        numbers = numbers.to(table.device).remainder(len(table))
        self.rows.append(Rows(self._names[id(table)], numbers, values, values.clone(), OwedProducts()))
        return self.rows[-1].taken

    def _is_plain(self, value: Tensor) -> bool:
        """Return whether nobody else has a say in how ``value`` is differentiated, or in what is kept for that."""
        return (
            type(value) is Tensor
            and value.layout is torch.strided
            and value.dtype in (torch.float32, torch.float64)
            and not torch._C._are_functorch_transforms_active()
            and not torch.compiler.is_compiling()
            and not torch.is_autocast_enabled(value.device.type)
            # Activation checkpointing, for one, counts what is kept.
            and _saving_hooks() == self._hooks
        )

    def _is_param_product(self, left: Any, right: Any, *, right_is_transposed: bool) -> bool:
        if not (self._params and isinstance(left, Tensor) and isinstance(right, Tensor) and left.ndim >= 2 and right.ndim == 2):
            return False
        width = right.shape[0 if right_is_transposed else 1]
        return left.numel() * width >= MIN_MULTIPLICATIONS and self._is_param(right) and self._is_plain(left)

    def _is_param(self, value: Tensor) -> bool:
        """Return whether ``value`` is a parameter, or one with its axes exchanged."""
        if id(value) in self._params:
            return True
        node = value.grad_fn
        return node is not None and node.name() in _TRANSPOSITIONS and self._is_leaf_node(node.next_functions[0][0])

    def _depends_on_params(self, value: Tensor) -> bool:
        if id(value) in self._params:
            return True
        to_visit, seen = [value.grad_fn], set()
        while to_visit:
            node = to_visit.pop()
            if node is None or node in seen:
                continue
            if self._is_leaf_node(node):
                return True
            seen.add(node)
            to_visit.extend(parent for parent, _ in node.next_functions)
        return False

    def _is_leaf_node(self, node: Any) -> bool:
        return id(getattr(node, "variable", None)) in self._params


def _is_last_axis(logits: Any, dim: Any = None, keepdim: bool = False, **others: Any) -> bool:
    """Return whether ``logsumexp`` was called for the last axis of many logits that have a graph."""
    return (
        isinstance(logits, Tensor)
        and dim in (-1, logits.ndim - 1)
        and logits.ndim > 1
        and not keepdim
        and not others
        and logits.requires_grad
        and logits.numel() >= MIN_LOGITS
    )


def _saving_hooks() -> Any:
    """Return what is in force for tensors kept by autograd, None if nothing is."""
    return torch._C._autograd._top_saved_tensors_default_hooks(True)
