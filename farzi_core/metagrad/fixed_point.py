"""Real numbers as integers with a fixed number of fraction bits: sums are exact, so what was added can be taken away again.

Values are kept below half of what int64 holds, so that no sum wraps; a value that would be larger raises.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from farzi_core.errors import NumericalError
from farzi_core.metagrad.limbs import LIMB_BITS, Limbs

_RANGE_BITS = 62
_FEWEST_BITS = 16


@dataclass(frozen=True)
class FixedPoint:
    """Integers that count units of ``2 ** -fraction_bits``, smaller than ``2 ** 62`` in size, and 32 bits more if wide.

    Attributes:
        name: of what is kept, for errors.
        fraction_bits: of the first limb; 44 hold values up to 262,144 in steps of 6e-14.
        is_wide: whether a second limb of 32 bits follows.
    """

    name: str
    fraction_bits: int
    is_wide: bool

    @classmethod
    def fitting(cls, name: str, largest: float, fraction_bits: int, headroom_bits: int, *, is_wide: bool = False) -> FixedPoint:
        """Return the format with ``fraction_bits``, or fewer where ``largest`` leaves less than ``headroom_bits`` above it."""
        size_bits = math.ceil(math.log2(largest)) if largest > 0 else 0
        bits = min(fraction_bits, _RANGE_BITS - headroom_bits - size_bits)
        if bits < _FEWEST_BITS:
            raise NumericalError(
                f"{name} starts at {largest:.3g}, too large for 64-bit fixed point; scale the losses down, or choose another "
                "method than 'reversed'",
                step=0,
                tensor=name,
            )
        return cls(name, bits, is_wide)

    def encode(self, values: Tensor, step: int) -> Limbs:
        """Return the nearest integers, int64 (N,) each, to float64 values.

        Raises:
            NumericalError: a value is out of range.
        """
        scaled = values * 2.0**self.fraction_bits  # exact: a power of two
        low, high = torch.aminmax(scaled)
        # Written so that NaN is out of range too.
        if not (float(low) > -(2.0**_RANGE_BITS) and float(high) < 2.0**_RANGE_BITS):
            raise self._overflow(float(values.abs().max()), step)
        if not self.is_wide:
            return (scaled.round_().to(torch.int64),)
        first = scaled.floor()
        second = scaled.sub_(first).mul_(2.0**LIMB_BITS).floor_()  # both exact
        return first.to(torch.int64), second.to(torch.int64)

    def decode(self, limbs: Limbs) -> Tensor:
        """Return float64 values."""
        values = limbs[0].to(torch.float64)
        if self.is_wide:
            values.add_(limbs[1], alpha=2.0**-LIMB_BITS)
        return values.mul_(2.0**-self.fraction_bits)

    def check_range(self, limbs: Limbs, step: int) -> None:
        """Raise NumericalError unless another value in range can be added without wrapping."""
        low, high = torch.aminmax(limbs[0])
        largest = max(-int(low), int(high))
        if largest >= 2**_RANGE_BITS:
            raise self._overflow(math.ldexp(largest, -self.fraction_bits), step)

    def _overflow(self, largest: float, step: int) -> NumericalError:
        allowed = math.ldexp(1.0, _RANGE_BITS - self.fraction_bits)
        return NumericalError(
            f"{self.name} reached {largest:.3g} at inner step {step}; method 'reversed' keeps it in fixed point below "
            f"{allowed:.3g}: lower the inner learning rate or the scale of the loss, or choose method 'checkpointed'",
            step=step,
            tensor=self.name,
        )
