"""Multiplication of integers by a rational below 1 that can be undone, bit for bit.

What the division drops goes into a buffer of integers instead of being lost, and the digits that the multiplication leaves
open are filled from that buffer, so that it grows by log2(d / n) bits only. Source: Maclaurin, Duvenaud and Adams 2015, arXiv
1502.03492, algorithm 3; here with a list of words, so that it never fills.
"""

from __future__ import annotations

from fractions import Fraction

import torch
from torch import Tensor

from farzi_core.errors import ConfigError
from farzi_core.metagrad.limbs import Limbs, divide, multiply_add

LARGEST_DENOMINATOR = 10**6
_WORD_LIMIT = 2**63 - 1


class InformationBuffer:
    """Remembers, for every entry of a fixed-point tensor, what multiplications by ``ratio`` would lose.

    Args:
        beta: in [0, 1); taken as the nearest fraction n / d with d up to a million (0.999 is exactly 999 / 1000). With 0,
            each multiplication keeps the whole value.

    Raises:
        ConfigError: no such fraction is near enough.

    Cost: 8 bytes an entry and word. A word lasts about (63 - log2 d) / log2(d / n) multiplications: 370 at 9 / 10.
    """

    def __init__(self, beta: float) -> None:
        self.ratio = Fraction(beta).limit_denominator(LARGEST_DENOMINATOR)
        if abs(self.ratio - Fraction(beta)) > (1 - Fraction(beta)) / 10**5:
            raise ConfigError(
                f"beta={beta} is too close to 1 to be a fraction with a denominator up to {LARGEST_DENOMINATOR}, which method "
                "'reversed' needs; give a beta up to 0.9999, or choose another method"
            )
        self._words: list[Tensor] = []
        self._values: list[Limbs] = []
        self._limits = [_WORD_LIMIT]  # what entries of the last word can reach; the first multiplication opens a word

    @property
    def kept(self) -> tuple[Tensor, ...]:
        """All tensors that are kept."""
        return (*self._words, *(limb for value in self._values for limb in value))

    def multiply(self, value: Limbs) -> Limbs:
        """Return ``ratio * value`` to within a unit of the last limb. The argument must not be used again."""
        n, d = self.ratio.numerator, self.ratio.denominator
        if n == 0:
            self._values.append(value)
            return tuple(torch.zeros_like(limb) for limb in value)
        if self._limits[-1] * d + d - 1 > _WORD_LIMIT:
            self._words.append(torch.zeros_like(value[0]))
            self._limits.append(0)
        self._limits.append((self._limits[-1] * d + d - 1) // n)
        return self._exchange(value, d, n)

    def divide(self, value: Limbs) -> Limbs:
        """Undo the last :meth:`multiply`: return what it was given. The argument must not be used again."""
        n, d = self.ratio.numerator, self.ratio.denominator
        if n == 0:
            return self._values.pop()
        before = self._exchange(value, n, d)
        self._limits.pop()
        if self._limits[-1] == 0:
            self._limits.pop()
            self._words.pop()
        return before

    def _exchange(self, value: Limbs, divisor: int, factor: int) -> Limbs:
        """Divide by one number and multiply by another; swapping the two undoes it.

        The remainder of the division becomes the last digit of the word, and the word's other last digit fills the product.
        """
        quotient, remainder = divide(value, divisor)
        word = self._words[-1].mul_(divisor).add_(remainder)
        (self._words[-1],), digit = divide((word,), factor)
        return multiply_add(quotient, factor, digit)
