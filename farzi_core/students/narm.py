"""NARM: a GRU over a user's history, and attention of its last state over all states up to it, for sequential recommendation.

At every position t, with hidden states h, the global part is h_t and the local part is a weighted sum of h_1 to h_t, with
weights v . sigmoid(query h_t + key h_j) that are not normalised; both together are projected to the width of the events.

Source: Li et al. 2017, arXiv 1711.04725. The bilinear decoder becomes that projection followed by scores tied to the event
table, the same function with another name; its result is normalised first. Trained at every position, not only at the last.

Of the student's sizes, ``num_layers`` counts GRU layers, ``dropout`` acts on embeddings, between layers and before the
projection; ``num_heads`` and ``max_length`` are not used: histories of any length can be read, at the cost of their square.

Shape letters: B batch, L length, H hidden.
"""

from __future__ import annotations

import torch
from torch import Tensor

from farzi_core.students.layers import dropout, init_linear, layer_norm, linear, normal_table
from farzi_core.students.protocol import Params
from farzi_core.students.recurrent import GRU, RecurrentStudent

# Queries share the keys up to the last of them, so few at once spare most of the work for keys that come later: one and a
# half times as fast as all at once, with 50 positions on one CPU core.
_QUERIES_AT_ONCE = 10


class NARM(RecurrentStudent):
    """Student ``narm``; see :class:`farzi_core.students.Student` for what its methods promise."""

    layer = GRU

    def init_head(self, generator: torch.Generator, dtype: torch.dtype) -> Params:
        width = self.config.hidden_size
        std = (3 * width) ** -0.5
        return {
            "attention.query": normal_table(width, width, generator, dtype, std=std),
            "attention.key": normal_table(width, width, generator, dtype, std=std),
            "attention.weight": normal_table(width, 1, generator, dtype, std=std),
            **init_linear("projection", 2 * width, width, generator, dtype, std=std),
        }

    def encode(
        self,
        params: Params,
        embedded: Tensor,
        mask: Tensor | None = None,
        *,
        dropout_generator: torch.Generator | None = None,
    ) -> Tensor:
        hidden = self.run_layers(params, embedded, mask, dropout_generator).transpose(0, 1)  # (B, L, H)
        both = torch.cat([hidden, _attend(params, hidden)], -1)
        both = dropout(both, self.config.dropout, dropout_generator)
        projected = linear(params, "projection", both.flatten(0, 1))
        return layer_norm(params, "final_norm", projected).view(hidden.shape)


def _attend(params: Params, hidden: Tensor) -> Tensor:
    """Return the local part of every position: (B, L, H) -> (B, L, H); padded states are 0 and add nothing."""
    queries = (hidden @ params["attention.query"]).unsqueeze(2)  # (B, L, 1, H)
    keys = (hidden @ params["attention.key"]).unsqueeze(1)  # (B, 1, L, H)
    length = hidden.shape[1]
    parts = []
    for start in range(0, length, _QUERIES_AT_ONCE):
        end = min(start + _QUERIES_AT_ONCE, length)
        energies = (queries[:, start:end] + keys[:, :, :end]).sigmoid()  # (B, end - start, end, H)
        weights = (energies @ params["attention.weight"]).squeeze(-1).tril(start)
        parts.append(torch.bmm(weights, hidden[:, :end]))
    return torch.cat(parts, 1)
