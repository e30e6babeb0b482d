"""What synthetic data look like: the likeliest events of each position in the user's own words, and how sharp they are.

Shape letters: S synthetic sequences, L length, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from farzi_core.data.sequences import Vocabulary
from farzi_core.synthetic.base import Synthetic
from farzi_core.synthetic.sharpness import largest_entropy

SHOWN_EVENTS = 5


def describe_appearance(synthetic: Synthetic, vocabulary: Vocabulary) -> dict[str, Any]:
    """Return entropy and likeliest events of every position, as means over the sequences (JSON values).

    Cost: the soft tokens (S, L, V).
    """
    entropy = synthetic.entropy().double()
    return {
        "entropy": {
            "mean": float(entropy.mean()),
            "largest_possible": largest_entropy(synthetic.vocab_size),
            "per_position": entropy.mean(0).tolist(),
        },
        "top_events": list_top_events(synthetic.probabilities().mean(0), vocabulary),
    }


def list_top_events(probabilities: Tensor, vocabulary: Vocabulary) -> list[list[dict[str, Any]]]:
    """Return the likeliest events of each position, (L, V) -> L lists of ``{event, probability}``, most likely first."""
    values, events = torch.topk(probabilities.double(), min(SHOWN_EVENTS, len(vocabulary)), dim=-1)
    return [
        [
            {"event": name, "probability": probability}
            for name, probability in zip(vocabulary.decode(row_events), row_values, strict=True)
        ]
        for row_events, row_values in zip(events.tolist(), values.tolist(), strict=True)
    ]
