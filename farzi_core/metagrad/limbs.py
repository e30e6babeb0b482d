"""Exact arithmetic on integers of one or more int64 limbs, the most significant first.

Only the first limb has a sign; every other one is in [0, 2**32). Divisors and factors are below 2**31, so nothing wraps.
"""

from __future__ import annotations

import torch
from torch import Tensor

LIMB_BITS = 32
_MASK = (1 << LIMB_BITS) - 1

Limbs = tuple[Tensor, ...]


def add(value: Limbs, other: Limbs) -> Limbs:
    """Return the sum; ``value`` is overwritten."""
    return _carry([limb.add_(term) for limb, term in zip(value, other, strict=True)])


def subtract(value: Limbs, other: Limbs) -> Limbs:
    """Return the difference; ``value`` is overwritten."""
    return _carry([limb.sub_(term) for limb, term in zip(value, other, strict=True)])


def divide(value: Limbs, divisor: int) -> tuple[Limbs, Tensor]:
    """Return the quotient, rounded down, and the remainder, in [0, divisor)."""
    quotients: list[Tensor] = []
    remainder: Tensor | None = None
    for limb in value:
        joined = limb if remainder is None else remainder.mul_(1 << LIMB_BITS).add_(limb)
        quotient = torch.div(joined, divisor, rounding_mode="floor")
        remainder = torch.sub(joined, quotient, alpha=divisor)
        quotients.append(quotient)
    assert remainder is not None
    return tuple(quotients), remainder


def multiply_add(value: Limbs, factor: int, term: Tensor) -> Limbs:
    """Return ``value * factor + term``; ``value`` is overwritten."""
    limbs = [limb.mul_(factor) for limb in value]
    limbs[-1].add_(term)
    return _carry(limbs)


def _carry(limbs: list[Tensor]) -> Limbs:
    """Move what is too much for a limb, or less than nothing, to the one before it; in place."""
    for index in range(len(limbs) - 1, 0, -1):
        limbs[index - 1].add_(limbs[index] >> LIMB_BITS)
        limbs[index].bitwise_and_(_MASK)
    return tuple(limbs)
