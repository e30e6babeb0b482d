"""Strings to dense codes in the order of their first appearance, block by block."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray


class TokenEncoder:
    """Gives every distinct string the next free code. ``codes`` maps string to code, in order of codes."""

    def __init__(self) -> None:
        self.codes: dict[str, int] = {}

    def encode(self, column: pl.Series) -> NDArray[np.int32]:
        """Return the codes of a column of strings without nulls.

        Cost: O(rows), with Python work only for the distinct strings of the column.
        """
        encoded = column.to_arrow(compat_level=pl.CompatLevel.oldest()).dictionary_encode()
        distinct = encoded.dictionary.to_pylist()
        code_of = np.fromiter(map(self.code, distinct), dtype=np.int32, count=len(distinct))
        codes: NDArray[np.int32] = code_of[encoded.indices.to_numpy()]
        return codes

    def code(self, token: str) -> int:
        """Return the code of one string."""
        return self.codes.setdefault(token, len(self.codes))

    @property
    def tokens(self) -> tuple[str, ...]:
        return tuple(self.codes)
