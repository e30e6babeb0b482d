"""Free synthetic data: a score of its own for every event at every position, with nothing shared.

    P = softmax(token_scores / temperature),   token_scores (S, L, V)

The most freedom and the most bytes: V numbers a position, where the factorised form has D. What it reaches at a given S x L
says how much the factorisation costs.

Shape letters: S synthetic sequences, L length, V vocabulary, D latent width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from farzi_core.synthetic.base import Synthetic


@dataclass(frozen=True)
class FreeSynthetic(Synthetic):
    """Synthetic data without factors.

    Attributes:
        token_scores: (S, L, V), float.
    """

    parameterization: ClassVar[str] = "free"
    tensor_names: ClassVar[tuple[str, ...]] = ("token_scores",)

    token_scores: Tensor

    def scores(self) -> Tensor:
        return self.token_scores

    @property
    def shape(self) -> tuple[int, int, int]:
        num_sequences, sequence_length, vocab_size = self.token_scores.shape
        return num_sequences, sequence_length, vocab_size


def free_scores_of(start: Synthetic) -> FreeSynthetic:
    """Return the same soft tokens without factors. Cost: S L V numbers."""
    return FreeSynthetic(start.scores(), temperature=start.temperature)


def free_from_noise(
    num_sequences: int,
    sequence_length: int,
    vocab_size: int,
    *,
    temperature: float,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float32,
) -> FreeSynthetic:
    """Return synthetic data whose scores are normal noise of unit variance: nearly uniform soft tokens."""
    scores = torch.randn(num_sequences, sequence_length, vocab_size, generator=generator, dtype=dtype)
    return FreeSynthetic(scores, temperature=temperature)
