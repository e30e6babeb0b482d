"""Noise in training data: a share of the events replaced at random, to see how much of a result survives it.

Every event is replaced with the same probability by one drawn uniformly from the vocabulary. Full data are disturbed before
students train on them; of a summary, its hard sequences are, because nothing can be replaced in a soft token. Distilling from
noisy data is another question, and another job: distil the disturbed data set.

Shape letters: N events.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Events = TypeVar("Events", np.int32, np.int64)


def replace_events(events: NDArray[Events], level: float, vocab_size: int, rng: np.random.Generator) -> NDArray[Events]:
    """Return events of which a share is replaced by random ones; padding, below 0, stays.

    Args:
        events: int, any shape.
        level: probability of each event to be replaced, from 0 to 1; the new event may be the old one.
        vocab_size: V.
        rng: source of the choice.
    """
    replaced = (rng.random(events.shape) < level) & (events >= 0)
    drawn = rng.integers(vocab_size, size=events.shape, dtype=events.dtype)
    return np.where(replaced, drawn, events)
