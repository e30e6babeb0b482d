"""Multiplication of integers by a rational below 1 that can be undone, bit for bit.

What the division drops goes into a buffer of integers instead of being lost, and the digits that the multiplication leaves
open are filled from that buffer, so that it grows by log2(d / n) bits only. Source: Maclaurin, Duvenaud and Adams 2015, arXiv
1502.03492, algorithm 3; here with a list of words, so that it never fills.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import torch
from torch import Tensor

from farzi_core.errors import ConfigError

LARGEST_DENOMINATOR = 10**6
_WORD_LIMIT = 2**63 - 1


class InformationBuffer:
    """Remembers, for every entry of an int64 tensor, what multiplications by ``ratio`` would lose.

    Args:
        beta: in [0, 1); taken as the nearest fraction n / d with d up to a million (0.999 is exactly 999 / 1000). With 0,
            each multiplication keeps a whole word.

    Raises:
        ConfigError: no such fraction is near enough.

    Cost: 8 bytes an entry and word. A word lasts about (63 - log2 d) / log2(d / n) multiplications: 390 at 9 / 10.
    """

    def __init__(self, beta: float) -> None:
        self.ratio = Fraction(beta).limit_denominator(LARGEST_DENOMINATOR)
        if abs(self.ratio - Fraction(beta)) > (1 - Fraction(beta)) / 10**5:
            raise ConfigError(
                f"beta={beta} is too close to 1 to be a fraction with a denominator up to {LARGEST_DENOMINATOR}, which method "
                "'reversed' needs; give a beta up to 0.9999, or choose another method"
            )
        self._words: list[Tensor] = []
        self._limits = [_WORD_LIMIT]  # what entries of the last word can reach; the first push opens a word

    @property
    def words(self) -> Sequence[Tensor]:
        """The words, oldest first."""
        return tuple(self._words)

    def multiply(self, values: Tensor) -> Tensor:
        """Return about ``ratio * values``, rounded towards minus infinity or one above; |result| <= |values| + 1."""
        n, d = self.ratio.numerator, self.ratio.denominator
        if n == 0:
            self._words.append(values)
            return torch.zeros_like(values)
        if self._limits[-1] * d + d - 1 > _WORD_LIMIT:
            self._words.append(torch.zeros_like(values))
            self._limits += [0]
        quotient, remainder = _divide(values, d)
        word = self._words[-1].mul_(d).add_(remainder)
        self._words[-1], digit = _divide(word, n)
        self._limits.append((self._limits[-1] * d + d - 1) // n)
        return quotient.mul_(n).add_(digit)

    def divide(self, values: Tensor) -> Tensor:
        """Undo the last :meth:`multiply`: return what it was given."""
        n, d = self.ratio.numerator, self.ratio.denominator
        if n == 0:
            return self._words.pop()
        self._limits.pop()
        quotient, remainder = _divide(values, n)
        word = self._words[-1].mul_(n).add_(remainder)
        self._words[-1], digit = _divide(word, d)
        if self._limits[-1] == 0:
            self._limits.pop()
            self._words.pop()
        return quotient.mul_(d).add_(digit)


def _divide(values: Tensor, divisor: int) -> tuple[Tensor, Tensor]:
    """Return the quotient, rounded down, and the remainder, in [0, divisor)."""
    quotient = torch.div(values, divisor, rounding_mode="floor")
    return quotient, values - quotient * divisor
