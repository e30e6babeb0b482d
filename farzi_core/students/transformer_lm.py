"""A small decoder-only Transformer for language modelling.

Pre-norm blocks, rotary positions (relative, so left padding and longer texts than trained on change nothing in kind), GELU
with a feed-forward width of 4 H, output tied to the token embeddings.

Source: Vaswani et al. 2017, arXiv 1706.03762, in the pre-norm form; rotary positions: Su et al. 2021, arXiv 2104.09864.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  torch's own idiom

from farzi_core.config import StudentConfig
from farzi_core.errors import ConfigError
from farzi_core.students.layers import BlockStack, dropout, normal_table
from farzi_core.students.protocol import Params
from farzi_core.students.tied import EVENT_EMBEDDING, TiedEmbedding


class TransformerLM(TiedEmbedding):
    """Student ``transformer_lm``; see :class:`farzi_core.students.Student` for what its methods promise."""

    def __init__(self, config: StudentConfig, vocab_size: int) -> None:
        head_width = config.hidden_size // config.num_heads
        if head_width % 2:
            raise ConfigError(
                f"hidden_size={config.hidden_size} over num_heads={config.num_heads} gives heads of width {head_width}; rotary "
                "positions rotate pairs, so the width of a head must be even: change hidden_size or num_heads",
                pointer="/student/num_heads",
            )
        self.config = config
        self.vocab_size = vocab_size
        self._blocks = BlockStack(
            num_blocks=config.num_layers,
            num_heads=config.num_heads,
            hidden_size=config.hidden_size,
            feed_forward_size=4 * config.hidden_size,
            activation=F.gelu,
            rotary=True,
            dropout=config.dropout,
        )

    def init_params(self, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Params:
        return {
            EVENT_EMBEDDING: normal_table(self.vocab_size, self.config.hidden_size, generator, dtype),
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
        inputs = dropout(embedded, self.config.dropout, dropout_generator)
        return self._blocks.apply(params, inputs, mask, dropout_generator)
