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

from farzi_core.students.layers import dropout, layer_norm
from farzi_core.students.protocol import Params
from farzi_core.students.recurrent import LSTM, RecurrentStudent


class LSTMLM(RecurrentStudent):
    """Student ``lstm``; see :class:`farzi_core.students.Student` for what its methods promise."""

    layer = LSTM

    def encode(
        self,
        params: Params,
        embedded: Tensor,
        mask: Tensor | None = None,
        *,
        dropout_generator: torch.Generator | None = None,
    ) -> Tensor:
        hidden = self.run_layers(params, embedded, mask, dropout_generator)  # (L, B, H)
        normed = layer_norm(params, "final_norm", hidden).transpose(0, 1)
        return dropout(normed, self.config.dropout, dropout_generator)
