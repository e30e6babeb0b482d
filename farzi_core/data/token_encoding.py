"""Strings to dense codes in the order of their first appearance, block by block.

Blocks come as Arrow dictionaries, so that work a string is done once for each distinct string of a block; how the dictionaries
of blocks become one is put off until there is enough of them to be worth a pass over all strings met so far.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Codes = NDArray[np.int32]
_MERGE_BYTES = 2**26


class TokenEncoder:
    """Gives every distinct string the next free code."""

    def __init__(self) -> None:
        self._tokens = pa.array([], pa.large_string())
        self._merged: list[Codes] = []
        self._pending: list[tuple[Codes, pa.Array]] = []
        self._pending_bytes = 0

    def append(self, codes: Codes, distinct: pa.Array) -> None:
        """Add rows: row i is the string ``distinct[codes[i]]``.

        Cost: O(rows); now and then a pass over all distinct strings, in all O(distinct strings of all blocks).
        """
        self._pending.append((codes, distinct.cast(pa.large_string())))
        self._pending_bytes += distinct.nbytes
        if self._pending_bytes >= max(_MERGE_BYTES, self._tokens.nbytes):
            self._merge()

    def finish(self) -> tuple[Codes, tuple[str, ...]]:
        """Return the code of every row and the strings in the order of their codes; nothing can be added after that."""
        self._merge()
        codes = np.concatenate(self._merged) if self._merged else np.zeros(0, dtype=np.int32)
        self._merged = []
        return codes, tuple(self._tokens.to_pylist())

    def _merge(self) -> None:
        start = len(self._tokens)
        everything = pa.concat_arrays([self._tokens, *(distinct for _, distinct in self._pending)]).dictionary_encode()
        self._tokens = everything.dictionary
        code_of = everything.indices.to_numpy()
        for codes, distinct in self._pending:
            self._merged.append(code_of[start : start + len(distinct)][codes])
            start += len(distinct)
        self._pending, self._pending_bytes = [], 0


def encode_strings(column: pa.Array) -> tuple[Codes, pa.Array]:
    """Return the code of every row, -1 for null, and the distinct values as strings, in order of their first appearance.

    Args:
        column: strings, whole numbers or decimals, or a dictionary of these.
    """
    is_dictionary = pa.types.is_dictionary(column.type)
    encoded = column if is_dictionary else column.dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy().astype(np.int32, copy=False)
    distinct = encoded.dictionary.cast(pa.large_string())
    # A dictionary that came from a file is in its writer's order, and may name what no row has.
    return _by_appearance(codes, distinct) if is_dictionary else (codes, distinct)


def _by_appearance(codes: Codes, distinct: pa.Array) -> tuple[Codes, pa.Array]:
    never = len(codes)
    first_row = np.full(len(distinct) + 1, never)  # the last place is that of code -1
    first_row[codes[::-1]] = np.arange(never)[::-1]
    order = np.argsort(first_row[:-1], kind="stable")
    order = order[: np.count_nonzero(first_row[:-1] < never)]
    new_code = np.full(len(distinct) + 1, -1, dtype=np.int32)
    new_code[order] = np.arange(len(order), dtype=np.int32)
    return new_code[codes], distinct.take(pa.array(order))
