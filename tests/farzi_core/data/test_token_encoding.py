"""Codes follow the first appearance of strings, wherever the blocks end and whenever their dictionaries are merged."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farzi_core.data import token_encoding
from farzi_core.data.token_encoding import TokenEncoder, encode_strings

blocks_of_strings = st.lists(st.lists(st.sampled_from("abcdefghij"), max_size=6), max_size=6)


@pytest.mark.parametrize("merge_bytes", [1, 2**26])
@given(blocks=blocks_of_strings)
def test_codes_of_all_blocks_are_those_of_one(merge_bytes: int, blocks: list[list[str]]) -> None:
    encoder = TokenEncoder()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(token_encoding, "_MERGE_BYTES", merge_bytes)
        for block in blocks:
            encoder.append(*encode_strings(pa.array(block, pa.string())))
    codes, tokens = encoder.finish()
    everything = [token for block in blocks for token in block]
    assert [tokens[code] for code in codes] == everything
    assert list(tokens) == list(dict.fromkeys(everything))


def test_dictionaries_of_files_are_put_in_the_order_of_rows() -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([2, None, 0, 2]), pa.array(["a", "never", "c"]))
    codes, distinct = encode_strings(column)
    assert codes.tolist() == [0, -1, 1, 0]
    assert distinct.to_pylist() == ["c", "a"]


def test_whole_numbers_become_strings() -> None:
    codes, distinct = encode_strings(pa.array([30, -1, 30, None]))
    assert codes.tolist() == [0, 1, 0, -1]
    assert distinct.to_pylist() == ["30", "-1"]
