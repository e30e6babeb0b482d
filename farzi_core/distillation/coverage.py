"""Which events are behind: drawn less often so far than real data have them.

Sequences drawn near the mode of a prediction repeat what is popular; favouring what is behind gives every event about its share
of the whole, while each still follows what was drawn before it.

Shape letters: V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor


class Coverage:
    """Counts of what was drawn, next to what was to be expected.

    Args:
        shares: (V,), of the real data, above 0 with a sum of 1.
        exponent: how much an event that is behind is favoured, at least 0.
    """

    def __init__(self, shares: Tensor, exponent: float) -> None:
        self._shares, self._exponent = shares, exponent
        self._counts = torch.zeros_like(shares)

    def logits(self) -> Tensor:
        """Return  exponent x log((share x number drawn + 1) / (count + 1))  of every event, (V,)."""
        expected = self._shares * self._counts.sum()
        return self._exponent * ((expected + 1.0) / (self._counts + 1.0)).log()

    def count(self, events: Tensor) -> None:
        """Count events that were drawn, int64 of any shape."""
        self._counts = self._counts + torch.bincount(events.flatten(), minlength=len(self._counts))
