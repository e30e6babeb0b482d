"""What a meta-gradient computation returns."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class MetaGradient:
    """The outer loss of a trained student, and its derivatives with respect to everything the training started from.

    No tensor carries a graph or shares memory with an input.

    Attributes:
        outer_loss: scalar, the outer loss at ``final_params``.
        synthetic: d outer_loss / d synthetic, shaped as the synthetic data.
        start_params: d outer_loss / d start_params; zeros for a truncated window shorter than the inner loop.
        lr: d outer_loss / d lr, a scalar, or (T,) for a schedule; for a truncated window, of the window's steps only.
        final_params: the parameters after the last step that was run.
        replay_error: largest relative error of the states that were met again on the way back; 0.0 if none was.
        num_inner_steps: how many steps were run: as asked for, but for a truncated window at a random place.
    """

    outer_loss: Tensor
    synthetic: dict[str, Tensor]
    start_params: dict[str, Tensor]
    lr: Tensor
    final_params: dict[str, Tensor]
    replay_error: float
    num_inner_steps: int

    @property
    def meta_gradient_norm(self) -> float:
        """The Euclidean norm of all gradients of the synthetic data together; 0 where there is none."""
        norms = [torch.linalg.vector_norm(value.to(torch.float64)).cpu() for value in self.synthetic.values()]
        return float(torch.stack(norms).norm()) if norms else 0.0
