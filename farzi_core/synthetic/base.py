"""What every parameterisation of synthetic data offers: soft tokens as the softmax of scores over a temperature.

    P = softmax(scores / temperature),   scores (S, L, V) made of the trained tensors

A parameterisation says what its tensors are and how they make scores; everything else is here. The temperature is a constant,
or trained with the rest as its logarithm, which keeps it above 0.

A student that trains on the data is asked for the soft token of each position, and is shown either the soft tokens before it,
or events of their own: as a target a token has to be as flat as a prediction, as an input it has to say which event came, and
one token cannot be both.

Shape letters: S synthetic sequences, L length, V vocabulary.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from farzi_core.footprint import BYTES_PER_EVENT
from farzi_core.soft_tokens import INPUT_EVENTS, PREPARED_DRAWS

LOG_TEMPERATURE = "log_temperature"


@dataclass(frozen=True, kw_only=True)
class Synthetic(ABC):
    """Synthetic data in some parameterisation; immutable.

    Attributes:
        temperature: above 0; lower is sharper. Not used where ``log_temperature`` is.
        log_temperature: scalar, float: the logarithm of a trained temperature; None: the temperature is a constant.
        input_events: int64 (S, L): what a student is shown at each position, not trained; None: the soft tokens themselves.
        prepared_draws: int64 (P, S, L): hard sequences that were drawn with teachers; None: they are drawn from the soft
            tokens alone.
    """

    parameterization: ClassVar[str]
    tensor_names: ClassVar[tuple[str, ...]]

    temperature: float = 1.0
    log_temperature: Tensor | None = None
    input_events: Tensor | None = None
    prepared_draws: Tensor | None = None

    @abstractmethod
    def scores(self) -> Tensor:
        """Return (S, L, V) scores before temperature and softmax."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int, int]:
        """S, L and V."""

    def logits(self) -> Tensor:
        """Return (S, L, V) scores before the softmax."""
        return self.scores() / (self.temperature if self.log_temperature is None else self.log_temperature.exp())

    def probabilities(self) -> Tensor:
        """Return the soft tokens (S, L, V); each position sums to 1. Cost: S L V numbers."""
        return self.logits().softmax(-1)

    def entropy(self) -> Tensor:
        """Return the entropy of every soft token, (S, L) in nats, between 0 and ln V."""
        return entropy_of_logits(self.logits())

    def tensors(self) -> dict[str, Tensor]:
        """Return the trained tensors by name."""
        tensors = {name: getattr(self, name) for name in self.tensor_names}
        return tensors if self.log_temperature is None else {**tensors, LOG_TEMPERATURE: self.log_temperature}

    def event_tensors(self) -> dict[str, Tensor]:
        """Return the tensors of event ids that there are, by name; none of them is trained."""
        tensors = {INPUT_EVENTS: self.input_events, PREPARED_DRAWS: self.prepared_draws}
        return {name: tensor for name, tensor in tensors.items() if tensor is not None}

    def with_tensors(self, tensors: Mapping[str, Tensor]) -> Self:
        """Return the same data with other tensors, given by the names that :meth:`tensors` gives."""
        # Any: mypy takes every keyword for the type of the first field.
        changes: dict[str, Any] = {name: tensors[name] for name in self.tensors()}
        return replace(self, **changes)

    def with_learned_temperature(self) -> Self:
        """Return the same data with the temperature among the trained tensors."""
        some_tensor: Tensor = getattr(self, self.tensor_names[0])
        return replace(self, log_temperature=some_tensor.new_tensor(math.log(self.temperature)))

    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> Self:
        """Return the same data on a device, with trained tensors of a floating-point dtype (None: as they are)."""
        moved = self.with_tensors({name: tensor.to(device, dtype) for name, tensor in self.tensors().items()})
        events: dict[str, Any] = {name: tensor.to(device) for name, tensor in self.event_tensors().items()}
        return replace(moved, **events)

    @property
    def num_sequences(self) -> int:
        return self.shape[0]

    @property
    def sequence_length(self) -> int:
        return self.shape[1]

    @property
    def vocab_size(self) -> int:
        return self.shape[2]

    @property
    def size_bytes(self) -> int:
        """Bytes of every trained tensor together, and 4 for each input event; prepared draws are no part of the soft tokens."""
        inputs = 0 if self.input_events is None else BYTES_PER_EVENT * self.input_events.numel()
        return inputs + sum(tensor.numel() * tensor.element_size() for tensor in self.tensors().values())


def entropy_of_logits(logits: Tensor) -> Tensor:
    """Return the entropy in nats of ``softmax(logits)`` over the last dimension."""
    log_probabilities = logits.log_softmax(-1)
    return -(log_probabilities.exp() * log_probabilities).sum(-1)
