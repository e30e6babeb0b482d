"""GRU4Rec: gated recurrent units over a user's history, for sequential recommendation.

Source: Hidasi et al. 2016, arXiv 1511.06939. Trained with full cross-entropy at every position instead of ranking losses in
parallel sessions; inputs and outputs share one event table; the last hidden state is normalised before it is scored, which
trains faster and better.

Of the student's sizes, ``num_layers`` counts GRU layers, ``dropout`` acts on embeddings and between layers; ``num_heads`` and
``max_length`` are not used: histories of any length can be read.
"""

from __future__ import annotations

import torch
from torch import Tensor

from farzi_core.students.layers import layer_norm
from farzi_core.students.protocol import Params
from farzi_core.students.recurrent import GRU, RecurrentStudent


class GRU4Rec(RecurrentStudent):
    """Student ``gru4rec``; see :class:`farzi_core.students.Student` for what its methods promise."""

    layer = GRU

    def encode(
        self,
        params: Params,
        embedded: Tensor,
        mask: Tensor | None = None,
        *,
        dropout_generator: torch.Generator | None = None,
    ) -> Tensor:
        hidden = self.run_layers(params, embedded, mask, dropout_generator)  # (L, B, H)
        return layer_norm(params, "final_norm", hidden).transpose(0, 1)
