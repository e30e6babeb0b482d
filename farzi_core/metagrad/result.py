"""What a meta-gradient computation returns."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class MetaGradient:
    """The outer loss of a trained student, and its derivatives with respect to everything the training started from.

    No tensor carries a graph or shares memory with an input.

    Attributes:
        outer_loss: scalar, the outer loss at ``final_params``.
        synthetic: d outer_loss / d synthetic, shaped as the synthetic data.
        start_params: d outer_loss / d start_params; zeros for a truncated window shorter than the inner loop.
        lr: scalar, d outer_loss / d lr; for a truncated window, of the window's steps only.
        final_params: the trained parameters.
        replay_error: largest relative error of the states that were met again on the way back; 0.0 if none was.
    """

    outer_loss: Tensor
    synthetic: dict[str, Tensor]
    start_params: dict[str, Tensor]
    lr: Tensor
    final_params: dict[str, Tensor]
    replay_error: float
