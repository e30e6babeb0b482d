"""SASRec: causal self-attention over a user's history, for sequential recommendation.

Pre-norm blocks, learned positions counted from the end of the sequence (so that left padding changes nothing), a
feed-forward width equal to H, output tied to the event embeddings.

Source: Kang and McAuley 2018, arXiv 1808.09781; trained with full cross-entropy instead of sampled negatives, pre-norm
instead of normalising queries alone.
"""

from __future__ import annotations

import torch
from torch import Tensor

from farzi_core.config import StudentConfig
from farzi_core.students.layers import BlockStack, check_length, dropout, normal_table
from farzi_core.students.protocol import Params
from farzi_core.students.tied import EVENT_EMBEDDING, TiedEmbedding


class SASRec(TiedEmbedding):
    """Student ``sasrec``; see :class:`farzi_core.students.Student` for what its methods promise."""

    def __init__(self, config: StudentConfig, vocab_size: int) -> None:
        self.config = config
        self.vocab_size = vocab_size
        self._blocks = BlockStack(
            num_blocks=config.num_layers,
            num_heads=config.num_heads,
            hidden_size=config.hidden_size,
            feed_forward_size=config.hidden_size,
            activation=torch.relu,
            rotary=False,
            dropout=config.dropout,
        )

    def init_params(self, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Params:
        width = self.config.hidden_size
        return {
            EVENT_EMBEDDING: normal_table(self.vocab_size, width, generator, dtype),
            "position_embedding": normal_table(self.config.max_length, width, generator, dtype),
            **self._blocks.init_params(generator, dtype),
        }

    def encode(
        self,
        params: Params,
        embedded: Tensor,
        mask: Tensor | None = None,
        *,
        dropout_generator: torch.Generator | None = None,
    ) -> Tensor:
        length, longest = embedded.shape[1], self.config.max_length
        check_length(length, longest)
        inputs = embedded + params["position_embedding"][longest - length :]
        inputs = dropout(inputs, self.config.dropout, dropout_generator)
        return self._blocks.apply(params, inputs, mask, dropout_generator)
