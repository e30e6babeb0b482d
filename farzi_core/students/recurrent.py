"""Stacks of recurrent layers as pure functions: inputs of all steps are projected at once, only the recurrence is a loop.

Knows layers by the function that runs one over time. Weights start with the variance of the uniform start that is usual for
recurrent layers, 1 / (3 H): smaller ones leave nearly nothing of an embedding that starts small.

Shape letters: B batch, L length, H hidden.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from farzi_core.config import StudentConfig
from farzi_core.students.gru import run_gru
from farzi_core.students.layers import dropout, init_linear, init_norm, linear, normal_table
from farzi_core.students.lstm import run_lstm
from farzi_core.students.protocol import Params
from farzi_core.students.tied import EVENT_EMBEDDING, TiedEmbedding


@dataclass(frozen=True)
class RecurrentLayer:
    """What a stack has to know of its layers.

    Attributes:
        run: (inputs (L, B, parts H), weight (H, parts H)) -> hidden states (L, B, H), starting at 0.
        num_parts: parts of the inputs.
        idle_part: the part that, at ``idle_value``, keeps a state of 0 at 0; what padding sets.
        idle_value: infinite, so that the state is kept exactly.
    """

    run: Callable[[Tensor, Tensor], Tensor]
    num_parts: int
    idle_part: int
    idle_value: float


# An update gate of 1 keeps the old state; an input gate of 0 adds nothing to a cell that is empty.
GRU = RecurrentLayer(run_gru, num_parts=3, idle_part=1, idle_value=float("inf"))
LSTM = RecurrentLayer(run_lstm, num_parts=4, idle_part=0, idle_value=float("-inf"))


@dataclass(frozen=True)
class RecurrentStack:
    """Layers on top of each other, each of width H.

    Attributes:
        layer: their kind.
        num_layers: how many.
        hidden_size: width H.
        dropout: rate between layers, only with a generator.
    """

    layer: RecurrentLayer
    num_layers: int
    hidden_size: int
    dropout: float

    def init_params(self, generator: torch.Generator, dtype: torch.dtype) -> Params:
        width, joint = self.hidden_size, self.layer.num_parts * self.hidden_size
        std = (3 * width) ** -0.5
        params: Params = {}
        for i in range(self.num_layers):
            params |= init_linear(f"layers.{i}.input", width, joint, generator, dtype, std=std)
            params[f"layers.{i}.recurrent"] = normal_table(width, joint, generator, dtype, std=std)
        return params

    def apply(self, params: Params, inputs: Tensor, mask: Tensor | None, dropout_generator: torch.Generator | None) -> Tensor:
        """Run (B, L, H) through all layers -> (L, B, H), time first; exactly 0 where padded."""
        batch, length, width = inputs.shape
        states = inputs.transpose(0, 1)
        for i in range(self.num_layers):
            if i > 0:
                states = dropout(states, self.dropout, dropout_generator)
            projected = linear(params, f"layers.{i}.input", states.reshape(length * batch, width)).view(length, batch, -1)
            states = self.layer.run(self._idle_where_padded(projected, mask), params[f"layers.{i}.recurrent"])
        return states

    def _idle_where_padded(self, projected: Tensor, mask: Tensor | None) -> Tensor:
        if mask is None:
            return projected
        parts = list(projected.chunk(self.layer.num_parts, -1))
        part = self.layer.idle_part
        parts[part] = parts[part].masked_fill(~mask.T.unsqueeze(-1), self.layer.idle_value)
        return torch.cat(parts, -1)


class RecurrentStudent(TiedEmbedding):
    """Base of students that run a stack of recurrent layers over the events and normalise the last hidden state."""

    layer: ClassVar[RecurrentLayer]

    def __init__(self, config: StudentConfig, vocab_size: int) -> None:
        self.config = config
        self.vocab_size = vocab_size
        self._layers = RecurrentStack(self.layer, config.num_layers, config.hidden_size, config.dropout)

    def init_params(self, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Params:
        width = self.config.hidden_size
        return {
            EVENT_EMBEDDING: normal_table(self.vocab_size, width, generator, dtype),
            **self._layers.init_params(generator, dtype),
            **self.init_head(generator, dtype),
            **init_norm("final_norm", width, generator, dtype),
        }

    def init_head(self, generator: torch.Generator, dtype: torch.dtype) -> Params:
        """Return the parameters between the layers and the last norm; none unless a student has some."""
        del generator, dtype
        return {}

    def run_layers(
        self, params: Params, embedded: Tensor, mask: Tensor | None, dropout_generator: torch.Generator | None
    ) -> Tensor:
        """Run (B, L, H) through all layers -> (L, B, H), time first."""
        inputs = dropout(embedded, self.config.dropout, dropout_generator)
        return self._layers.apply(params, inputs, mask, dropout_generator)
