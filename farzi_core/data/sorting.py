"""Stable orders of millions of rows. Knows nothing of what the keys mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DIGIT_BITS = 16


def stable_order(keys: Sequence[NDArray[Any]]) -> NDArray[np.int64]:
    """Return what ``np.lexsort`` returns: the rows in the order of the last key, equal ones by the key before it, and so on.

    Whole numbers are sorted by their digits of 16 bits, for which numpy has a radix sort: with keys of the size of ids and
    times, half the time of comparing them.

    Cost: O(rows x digits); 24 bytes a row.
    """
    order = np.arange(len(keys[0]), dtype=np.int64)
    for key in keys:
        for digit in _digits(key):
            order = order[np.argsort(digit[order], kind="stable")]
    return order


def _digits(key: NDArray[Any]) -> list[NDArray[np.generic]]:
    """Return what a key is to be sorted by, the least significant part first."""
    if key.dtype.kind == "f" or len(key) == 0:
        return [key]
    low, high = int(key.min()), int(key.max())
    num_digits = -(-(high - low).bit_length() // _DIGIT_BITS)
    if num_digits > 3:  # as slow as comparing
        return [key]
    offset = key.astype(np.int64) - low
    return [(offset >> (_DIGIT_BITS * digit)).astype(np.uint16) for digit in range(num_digits)]
