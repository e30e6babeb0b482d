"""Turns what goes wrong inside a caller's loss into a sentence with a remedy: non-finite values, lost graphs, autograd errors.

Knows messages of autograd, and nothing of how gradients are used.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from farzi_core.errors import ConfigError, FarziError, NumericalError
from farzi_core.metagrad.vectors import ParamLayout

_REMEDY = (
    "lower the inner learning rate, use smoother betas such as (0.95, 0.975), differentiate fewer steps, "
    "or raise eps_root if it is 0"
)


class NotDifferentiableError(FarziError):
    """A loss cannot be differentiated in the way the meta-gradient needs."""

    code = "not_differentiable"


def check_number(loss: object, name: str) -> Tensor:
    """Return ``loss`` as a scalar if it is a tensor of one entry."""
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        given = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else f"{type(loss).__name__}"
        raise ConfigError(f"{name} returned {given}; return one number as a tensor, for example the mean over the batch")
    return loss.reshape(())


def check_scalar(loss: object, name: str) -> Tensor:
    """Return ``loss`` as a scalar if it is a tensor of one entry with a graph."""
    number = check_number(loss, name)
    if not number.requires_grad:
        raise NotDifferentiableError(_lost_graph(name))
    return number


def _lost_graph(name: str) -> str:
    return (
        f"{name} does not depend on params: what it returned carries no graph. Remove .detach(), .item(), .data, "
        "torch.no_grad() and conversions to numpy from it, and use the params it is given"
    )


def check_finite(values: Tensor, name: str, step: int) -> None:
    """Raise NumericalError unless every entry is finite."""
    if not _is_finite(values):
        raise NumericalError(f"{name} is NaN or infinite at inner step {step}; {_REMEDY}", step=step, tensor=name)


def check_finite_parts(values: Tensor, layout: ParamLayout, name: str, step: int) -> None:
    """As :func:`check_finite` for a flat vector of parameters, naming the parameter that is not finite."""
    if _is_finite(values):
        return
    for part_name, part in zip(layout.names, layout.split(values), strict=True):
        check_finite(part, f"{name} of {part_name!r}", step)


def check_gradient(loss: Tensor, grad: Tensor, layout: ParamLayout, step: int) -> None:
    """Raise NumericalError unless the inner loss and its flat gradient are finite; one look at the device if they are."""
    if math.isfinite((grad.sum() + loss).item()):
        return
    check_finite(loss, "inner_loss", step)
    check_finite_parts(grad, layout, "the inner gradient", step)


def check_synthetic_used(was_used: bool) -> None:
    """Raise unless the inner gradient depends on some of the synthetic data."""
    if not was_used:
        raise NotDifferentiableError(
            "the inner gradient depends on none of the synthetic tensors, so their meta-gradient would be 0; use the synthetic "
            "data that inner_loss is given, and remove .detach(), .item(), .data and torch.no_grad() from it"
        )


def _is_finite(values: Tensor) -> bool:
    # One infinite or NaN entry makes the sum so. The sum of finite entries can overflow too: only then look at each.
    return math.isfinite(values.sum().item()) or bool(torch.isfinite(values).all())


@contextmanager
def explain_autograd_errors(name: str) -> Iterator[None]:
    """Replace autograd's own errors by a :class:`NotDifferentiableError`; any other error passes unchanged."""
    try:
        yield
    except (RuntimeError, NotImplementedError) as error:
        explanation = _explain(str(error), name)
        if explanation is None:
            raise
        raise NotDifferentiableError(explanation) from error


def _explain(message: str, name: str) -> str | None:
    reason = message.partition("\n")[0]
    if "does not require grad" in message:
        return _lost_graph(name)
    if "inplace" in message or "in-place" in message:
        return (
            f"{name} changes a tensor in place that the meta-gradient still needs (often one of params or synthetic); use the "
            "form that returns a new tensor, for example x * 2 instead of x.mul_(2)"
        )
    if any(word in message for word in ("forward AD", "forward grad", "jvp")):
        return f"{name} uses an operation without forward-mode derivatives ({reason}); choose product='reverse_over_reverse'"
    if "is not implemented" in message or "once_differentiable" in message:
        return (
            f"{name} uses an operation that cannot be differentiated twice ({reason}); replace it by plain tensor operations "
            "(fused attention: write out the softmax; cuDNN recurrent layers: write out the cell)"
        )
    return None
