"""An LSTM language model with tied embeddings.

Source: Zaremba et al. 2014, arXiv 1409.2329, for layers and where dropout acts; Press and Wolf 2017, arXiv 1608.05859, for the
shared table. The last hidden state is normalised before it is scored, and each window starts from an empty state: nothing
is carried over from the window before it.

Of the student's sizes, ``num_layers`` counts LSTM layers, ``dropout`` acts on embeddings, between layers and on the output;
``num_heads`` and ``max_length`` are not used: texts of any length can be read.
"""

from __future__ import annotations

import torch
from torch import Tensor

from farzi_core.config import StudentConfig
from farzi_core.students.layers import dropout, init_norm, layer_norm, normal_table
from farzi_core.students.protocol import Params
from farzi_core.students.recurrent import LSTM, RecurrentStack
from farzi_core.students.tied import EVENT_EMBEDDING, TiedEmbedding


class LSTMLM(TiedEmbedding):
    """Student ``lstm``; see :class:`farzi_core.students.Student` for what its methods promise."""

    def __init__(self, config: StudentConfig, vocab_size: int) -> None:
        self.config = config
        self.vocab_size = vocab_size
        self._layers = RecurrentStack(LSTM, config.num_layers, config.hidden_size, config.dropout)

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
        normed = layer_norm(params, "final_norm", hidden).transpose(0, 1)
        return dropout(normed, self.config.dropout, dropout_generator)
