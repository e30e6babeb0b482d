"""The part that all students share: one (V, H) table that embeds events and scores them, and how it is used."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F  # noqa: N812  torch's own idiom

from farzi_core.students.layers import embed_events
from farzi_core.students.protocol import Params

EVENT_EMBEDDING = "event_embedding"


class TiedEmbedding:
    """Base of students whose parameters hold the table under ``event_embedding``."""

    def event_table(self, params: Params) -> Tensor:
        return params[EVENT_EMBEDDING]

    def embed_events(self, params: Params, events: Tensor) -> Tensor:
        return embed_events(params[EVENT_EMBEDDING], events)

    def embed_probabilities(self, params: Params, probabilities: Tensor) -> Tensor:
        return probabilities @ params[EVENT_EMBEDDING]

    def event_logits(self, params: Params, hidden: Tensor) -> Tensor:
        return F.linear(hidden, params[EVENT_EMBEDDING])
