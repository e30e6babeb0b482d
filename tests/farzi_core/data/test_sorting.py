"""Rows are put in the order that numpy's own stable sort gives."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from farzi_core.data.sorting import stable_order

RANDOM = np.random.default_rng(0)
KEYS: list[NDArray[np.generic]] = [
    RANDOM.integers(0, 3, 500),
    RANDOM.integers(-(10**9), 10**9, 500),
    RANDOM.integers(0, 70_000, 500).astype(np.int32),
    np.array([2**63 - 1, -(2**63), 0, 2**62, -1] * 100),
    RANDOM.normal(size=500).round(1),
    np.full(500, 7, dtype=np.int32),
]


@pytest.mark.parametrize("first", KEYS, ids=lambda key: f"{key.dtype}-{len(np.unique(key))}")
@pytest.mark.parametrize("second", KEYS, ids=lambda key: f"{key.dtype}-{len(np.unique(key))}")
def test_orders_are_those_of_lexsort(first: NDArray[np.generic], second: NDArray[np.generic]) -> None:
    assert stable_order([first, second]).tolist() == np.lexsort((first, second)).tolist()


def test_no_rows() -> None:
    assert stable_order([np.zeros(0, dtype=np.int32)]).tolist() == []
