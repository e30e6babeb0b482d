"""Where an outer step begins: the synthetic data as a loss sees them. Shape letters: S sequences, L length, V vocabulary."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class OuterPoint:
    """Synthetic data at one outer step.

    Attributes:
        probabilities: soft tokens (S, L, V), without a graph.
        input_events: int64 (S, L), what students are shown; None: the soft tokens.
        inner_lr: learning rate of students on synthetic data.
        step: outer step, from 0.
    """

    probabilities: Tensor
    input_events: Tensor | None
    inner_lr: float
    step: int
