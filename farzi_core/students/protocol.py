"""What every student offers: pure functions of a parameter dictionary.

A student holds its configuration and nothing that is trained, so one object serves any number of parameter sets, and the
inner loop can differentiate through it twice. It knows nothing of losses, optimisers or data sets.

Shape letters: B batch, L length, V vocabulary, H hidden.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from farzi_core.config import StudentConfig

Params = dict[str, Tensor]


class Student(Protocol):
    """A next-event model with tied embeddings: what embeds an event also scores it.

    Two identities are part of the contract; ``losses.py`` relies on them. With ``E = event_table(params)``:
    ``embed_probabilities(params, p) == p @ E`` and ``event_logits(params, h) == h @ E.T``.
    """

    config: StudentConfig
    vocab_size: int

    def init_params(self, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Params:
        """Return fresh random parameters on the generator's device; the same seed gives the same bits."""
        ...

    def embed_events(self, params: Params, events: Tensor) -> Tensor:
        """Embed hard ids: int64 (B, L), negative ids are padding -> (B, L, H), zero where padded."""
        ...

    def embed_probabilities(self, params: Params, probabilities: Tensor) -> Tensor:
        """Embed soft tokens as the expected embedding: (..., V) -> (..., H)."""
        ...

    def encode(
        self,
        params: Params,
        embedded: Tensor,
        mask: Tensor | None = None,
        *,
        dropout_generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return the hidden state after each event: (B, L, H) -> (B, L, H).

        Args:
            params: parameters as ``init_params`` names them.
            embedded: what ``embed_events`` or ``embed_probabilities`` returned.
            mask: bool (B, L), true at real events; padding is on the left. None: no padding, and cheaper. Hidden states of
                padded positions are finite and mean nothing.
            dropout_generator: source of the dropout noise; None: no dropout.
        """
        ...

    def event_table(self, params: Params) -> Tensor:
        """Return the (V, H) table ``E`` of event embeddings."""
        ...

    def event_logits(self, params: Params, hidden: Tensor) -> Tensor:
        """Score every event of the vocabulary as the next one: (..., H) -> (..., V)."""
        ...
