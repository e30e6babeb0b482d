"""Hard sequences: event ids drawn from soft tokens, which any library can train on.

The distilled object is a distribution; several draws of it together carry what one argmax loses. Knows nothing of how the
probabilities are parameterised.

Shape letters: S synthetic sequences, L length, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from farzi_core.drawing import draw_events, draw_uniforms
from farzi_core.errors import ConfigError, NumericalError
from farzi_core.soft_tokens import known_draws
from farzi_core.synthetic.base import Synthetic

_BLOCK_NUMBERS = 2**22


def sample_hard_sequences(probabilities: Tensor, draws: int, seed: int) -> Tensor:
    """Draw ``draws`` hard sequences from every soft one, each position on its own:  event ~ probabilities[s, l, :].

    Args:
        probabilities: (S, L, V), float, at least 0; a position is scaled to sum to 1.
        draws: samples of every synthetic sequence, at least 1.
        seed: of the draws, at least 0; the same seed gives the same sequences, on any device up to rounding of the
            probabilities, and more draws begin with what fewer are.

    Returns:
        int64 (draws * S, L) on the CPU; row ``d * S + s`` is draw d of sequence s. An event of probability 0 is never drawn.

    Raises:
        ConfigError: ``draws`` is below 1.
        NumericalError: a probability is negative or not finite, or a position sums to 0.

    Cost: O(S L V) time; memory beyond the input is one block of 4 million numbers in float64.
    """
    if draws < 1:
        raise ConfigError(f"draws={draws} was given; at least 1 sequence must be drawn", pointer="/draws")
    num_sequences, length, _ = probabilities.shape
    uniforms = draw_uniforms(draws, num_sequences * length, seed)
    blocks, done = [], 0
    for block in _blocks_of_positions(probabilities):
        blocks.append(draw_events(block.double().cpu().numpy(), uniforms[:, done : done + len(block)]))
        done += len(block)
    return torch.from_numpy(np.concatenate(blocks, axis=1)).long().reshape(draws * num_sequences, length)


def draw_hard_sequences(synthetic: Synthetic, draws: int, seed: int) -> Tensor:
    """Return prepared draws, as far as they go, and :func:`sample_hard_sequences` of the soft tokens beyond them.

    Where nothing was prepared and there are input events, draw 0 is these.

    Args:
        synthetic: what is drawn from.
        draws: samples of every synthetic sequence, at least 1.
        seed: of the draws; says which prepared one is the first.

    Returns:
        int64 (draws * S, L) on the CPU; row ``d * S + s`` is draw d of sequence s.
    """
    known = known_draws({name: tensor.cpu().numpy() for name, tensor in synthetic.event_tensors().items()}, draws, seed)
    if known is None:
        return sample_hard_sequences(synthetic.probabilities(), draws, seed)
    first = torch.from_numpy(known).long().flatten(0, 1)
    if len(known) == draws:
        return first
    events = sample_hard_sequences(synthetic.probabilities(), draws, seed)
    events[: len(first)] = first
    return events


def argmax_hard_sequences(probabilities: Tensor) -> Tensor:
    """Return the most likely event of every position; the lowest id where several are.

    Args:
        probabilities: (S, L, V), float.

    Returns:
        int64 (S, L) on the CPU.

    Raises:
        NumericalError: as for ``sample_hard_sequences``.

    Cost: O(S L V) time.
    """
    num_sequences, length, _ = probabilities.shape
    blocks = [block.argmax(-1).cpu() for block in _blocks_of_positions(probabilities)]
    return torch.cat(blocks).reshape(num_sequences, length)


def _blocks_of_positions(probabilities: Tensor) -> Iterator[Tensor]:
    """Yield checked slices (positions, V) of at most ``_BLOCK_NUMBERS`` numbers, in order."""
    positions = probabilities.detach().flatten(0, 1)
    if positions.numel() == 0:
        raise NumericalError(
            f"probabilities of shape {tuple(probabilities.shape)} hold no position to draw from", tensor="probabilities"
        )
    block_size = max(1, _BLOCK_NUMBERS // positions.shape[1])
    for start in range(0, len(positions), block_size):
        block = positions[start : start + block_size]
        total = block.sum(-1)
        if not bool(torch.isfinite(total).all()) or bool((block < 0).any()) or bool((total <= 0).any()):
            raise NumericalError(
                "the probabilities hold a value that is negative or not finite, or a position that sums to 0; "
                "a lower outer learning rate or a higher temperature usually helps",
                tensor="probabilities",
            )
        yield block
