"""What a distilled summary has to beat at equal size."""

from __future__ import annotations

from torch import Tensor

from farzi_core.distillation.setting import Setting
from farzi_core.seeding import derive_generator


def pick_random_sequences(setting: Setting, num_sequences: int, length: int) -> Tensor:
    """Return random windows of real training sequences, as many and as long as the synthetic ones.

    Sequences of full length come first, so that the baseline has as many events as the data allow.

    Returns:
        int64 (num_sequences, at most length), padded on the left.
    """
    return setting.real.pick(num_sequences, length, derive_generator(setting.spec.seed, "random_sequences"))
