"""Real sequences that are kept as they are: as many as the synthetic ones, or as many as take the same bytes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from farzi_core.data.sequences import SequenceDataset
from farzi_core.distillation.setting import Setting
from farzi_core.footprint import BYTES_PER_EVENT
from farzi_core.seeding import derive_generator


def pick_random_sequences(setting: Setting, num_sequences: int, length: int) -> Tensor:
    """Return random windows of real training sequences, as many and as long as the synthetic ones.

    Sequences of full length come first, so that the baseline has as many events as the data allow.

    Returns:
        int64 (num_sequences, at most length), padded on the left.
    """
    return setting.real.pick(num_sequences, length, derive_generator(setting.spec.seed, "random_sequences"))


def pick_head_sequences(setting: Setting, num_sequences: int, length: int) -> Tensor:
    """Return random windows of the longest training sequences, as many and as long as the synthetic ones.

    Returns:
        int64 (num_sequences, at most length), padded on the left.
    """
    return setting.real.pick_longest(num_sequences, length, derive_generator(setting.spec.seed, "head_sequences"))


def pick_sequences_of_size(setting: Setting, size_bytes: int, *, longest: bool = False) -> SequenceDataset:
    """Return whole training sequences (of a text: lines) that take at most ``size_bytes``, at 4 bytes an event.

    At least one is taken, and all of them where they fit.

    Args:
        setting: data and seed.
        size_bytes: what they may take.
        longest: take the longest first, equally long ones in random order, instead of random ones.
    """
    train = setting.split.train
    usable = np.flatnonzero(train.lengths >= 2)
    order = torch.randperm(len(usable), generator=derive_generator(setting.spec.seed, "sequences_of_size")).numpy()
    if longest:
        order = order[np.argsort(-train.lengths[usable[order]], kind="stable")]
    ends = train.lengths[usable[order]].cumsum()
    num_fitting = int(np.searchsorted(ends, size_bytes // BYTES_PER_EVENT, side="right"))
    return train.take(np.sort(usable[order[: max(1, num_fitting)]]))
