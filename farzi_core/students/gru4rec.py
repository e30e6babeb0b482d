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

from farzi_core.config import StudentConfig
from farzi_core.students.layers import dropout, init_norm, layer_norm, normal_table
from farzi_core.students.protocol import Params
from farzi_core.students.recurrent import GRU, RecurrentStack
from farzi_core.students.tied import EVENT_EMBEDDING, TiedEmbedding


class GRU4Rec(TiedEmbedding):
    """Student ``gru4rec``; see :class:`farzi_core.students.Student` for what its methods promise."""

    def __init__(self, config: StudentConfig, vocab_size: int) -> None:
        self.config = config
        self.vocab_size = vocab_size
        self._layers = RecurrentStack(GRU, config.num_layers, config.hidden_size, config.dropout)

    def init_params(self, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Params:
        width = self.config.hidden_size
        return {
            EVENT_EMBEDDING: normal_table(self.vocab_size, width, generator, dtype),
            **self._layers.init_params(generator, dtype),
            **init_norm("final_norm", width, generator, dtype),
        }

    def encode(
        self,
        params: Params,
        embedded: Tensor,
        mask: Tensor | None = None,
        *,
        dropout_generator: torch.Generator | None = None,
    ) -> Tensor:
        inputs = dropout(embedded, self.config.dropout, dropout_generator)
        hidden = self._layers.apply(params, inputs, mask, dropout_generator)  # (L, B, H)
        return layer_norm(params, "final_norm", hidden).transpose(0, 1)
