"""FMLP-Rec: a learned filter for every channel and a feed-forward network in each block, for sequential recommendation.

The paper multiplies the Fourier transform of the whole sequence by learned numbers: a circular convolution, in which every
position sees all others, later ones too. There only the last position is trained. Here every position predicts the event
after it, so the filter is a causal one: a linear convolution with a learned kernel over lags 0 to t. The kernel is kept by lag
instead of by frequency, since a transform of fixed length is a change of basis and training by lag was no worse.

Source: Zhou et al. 2022, arXiv 2202.13556; also pre-norm instead of post-norm, and no positions, since kernels know lags.

Of the student's sizes, ``num_layers`` counts blocks, ``dropout`` acts on embeddings and on what each half of a block adds,
``max_length`` is the length of the kernels; ``num_heads`` is not used.

Shape letters: B batch, L length, H hidden.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  torch's own idiom

from farzi_core.config import StudentConfig
from farzi_core.students.causal_filter import filter_causally
from farzi_core.students.layers import (
    check_length,
    dropout,
    init_linear,
    init_norm,
    layer_norm,
    linear,
    normal_table,
    standardize,
)
from farzi_core.students.protocol import Params
from farzi_core.students.tied import EVENT_EMBEDDING, TiedEmbedding


class FMLP(TiedEmbedding):
    """Student ``fmlp``; see :class:`farzi_core.students.Student` for what its methods promise."""

    def __init__(self, config: StudentConfig, vocab_size: int) -> None:
        self.config = config
        self.vocab_size = vocab_size

    def init_params(self, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Params:
        width = self.config.hidden_size
        params = {EVENT_EMBEDDING: normal_table(self.vocab_size, width, generator, dtype)}
        for i in range(self.config.num_layers):
            params[f"blocks.{i}.kernel"] = normal_table(self.config.max_length, width, generator, dtype)
            params |= init_linear(f"blocks.{i}.feed_forward_in", width, 4 * width, generator, dtype)
            params |= init_linear(f"blocks.{i}.feed_forward_out", 4 * width, width, generator, dtype)
        return params | init_norm("final_norm", width, generator, dtype)

    def encode(
        self,
        params: Params,
        embedded: Tensor,
        mask: Tensor | None = None,
        *,
        dropout_generator: torch.Generator | None = None,
    ) -> Tensor:
        check_length(embedded.shape[1], self.config.max_length)
        rate = self.config.dropout
        states = dropout(embedded, rate, dropout_generator)
        for i in range(self.config.num_layers):
            filtered = filter_causally(_hide_padding(standardize(states), mask), params[f"blocks.{i}.kernel"])
            states = states + dropout(filtered, rate, dropout_generator)
            states = states + dropout(_feed_forward(params, f"blocks.{i}", standardize(states)), rate, dropout_generator)
        return layer_norm(params, "final_norm", states)


def _hide_padding(states: Tensor, mask: Tensor | None) -> Tensor:
    return states if mask is None else states * mask.unsqueeze(-1).to(states.dtype)


def _feed_forward(params: Params, block: str, states: Tensor) -> Tensor:
    inner = F.gelu(linear(params, f"{block}.feed_forward_in", states.flatten(0, 1)))
    return linear(params, f"{block}.feed_forward_out", inner).view(states.shape)
