"""Drawing hard sequences from soft tokens, by numbers that are the same on every machine. Imports numpy, no torch.

Draw d of a data set is one sample of every position, made of random numbers of its own: asking for more draws adds to those
there are and changes none. Knows nothing of where the probabilities come from.

Shape letters: N positions, V vocabulary, K draws.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


class Uniforms:
    """The random numbers of all draws, position after position: at least 0 and below 1.

    The bits of draw d are those of Philox with key (seed, d), a counter-based generator whose stream numpy never changes.

    Args:
        draws: K.
        seed: at least 0, below 2^64.
    """

    def __init__(self, draws: int, seed: int) -> None:
        self._streams = [np.random.Philox(key=np.array([seed, draw], dtype=np.uint64)) for draw in range(draws)]

    def take(self, num_positions: int) -> FloatArray:
        """Return those of the next positions, (K, num_positions)."""
        bits = np.stack([stream.random_raw(num_positions) for stream in self._streams]) >> np.uint64(11)
        return bits.astype(np.float64) * 2.0**-53


def draw_uniforms(draws: int, num_positions: int, seed: int) -> FloatArray:
    """Return the random numbers of all draws and positions, (K, N), see :class:`Uniforms`."""
    return Uniforms(draws, seed).take(num_positions)


def draw_events(probabilities: FloatArray, uniforms: FloatArray) -> NDArray[np.int32]:
    """Return one event for each random number: the first whose cumulative probability is above it.

    Args:
        probabilities: (N, V), at least 0, with a positive sum at each position.
        uniforms: (K, N), as :func:`draw_uniforms` returns them.

    Returns:
        int32 (K, N); an event of probability 0 is never drawn.

    Cost: O(N (V + K log V)).
    """
    events = np.empty(uniforms.shape, dtype=np.int32)
    cumulative = probabilities.cumsum(1)
    for position, row in enumerate(cumulative):
        total = row[-1]
        drawn = np.searchsorted(row, uniforms[:, position] * total, side="right")
        events[:, position] = np.minimum(drawn, np.searchsorted(row, total))
    return events


def take_prepared(prepared: NDArray[np.integer], draws: int, seed: int) -> NDArray[np.int32]:
    """Return draws that were made beforehand, in their order, beginning at number ``seed`` modulo P.

    Each was drawn to go with those before it (``hard_rules``), so neighbours stay together.

    Args:
        prepared: integers (P, S, L), P draws of S synthetic sequences.
        draws: how many of them are wanted; more than P take all.
        seed: at least 0; more draws begin with what fewer are.

    Returns:
        int32 (min(draws, P), S, L).
    """
    return np.roll(prepared, -(seed % len(prepared)), axis=0)[:draws].astype(np.int32)
