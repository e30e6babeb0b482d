from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farzi_core.data.text import tokenize
from farzi_core.sequence_files import join_text
from tests.farzi_core.data.uploads import places, read_bytes

LINES = ["the cat sat", "the dog sat", "a cat ran", "the cat ran", "a bird flew"]


def test_the_vocabulary_comes_from_the_training_lines(tmp_path: Path) -> None:
    dataset = read_bytes(tmp_path, "\n".join(LINES), "text", validation_fraction=0.2, test_fraction=0.2).dataset
    assert dataset is not None
    assert (dataset.num_validation_sequences, dataset.num_test_sequences) == (1, 1)
    assert dataset.vocabulary.tokens == ("<eos>", "the", "cat", "sat", "dog", "a", "ran", "<unk>")
    assert dataset.vocabulary.decode(dataset.sequence(3)) == ["the", "cat", "ran", "<eos>"]
    assert dataset.vocabulary.decode(dataset.sequence(4)) == ["a", "<unk>", "<unk>", "<eos>"]
    assert dataset.names is None
    assert dataset.tokenizer == "words"


def test_rare_words_are_unknown_and_counted_so(tmp_path: Path) -> None:
    result = read_bytes(tmp_path, "\n".join(LINES), "text", validation_fraction=0.2, test_fraction=0.2, max_vocab_size=5)
    assert result.dataset is not None
    assert result.dataset.vocabulary.tokens == ("<unk>", "<eos>", "the", "cat", "sat")
    assert result.report["statistics"]["share_unknown_train"] == pytest.approx(3 / 12)
    assert result.report["statistics"]["share_unknown_held_out"] == pytest.approx(4 / 8)


def test_characters_keep_inner_spaces(tmp_path: Path) -> None:
    dataset = read_bytes(tmp_path, " ab c \n" * 5, "text", tokenizer="characters").dataset
    assert dataset is not None
    assert dataset.vocabulary.decode(dataset.sequence(0)) == ["a", "b", " ", "c", "<eos>"]


def test_case_is_folded_on_request(tmp_path: Path) -> None:
    dataset = read_bytes(tmp_path, "The the Cat\n" * 5, "text", lowercase=True).dataset
    assert dataset is not None
    assert set(dataset.vocabulary.tokens) == {"<eos>", "<unk>", "the", "cat"}


def test_words_that_look_special_are_read_as_such(tmp_path: Path) -> None:
    result = read_bytes(tmp_path, "a <unk> b\nb <eos> a\na b c\na b\n", "text")
    assert result.dataset is not None
    assert result.dataset.vocabulary.tokens.count("<unk>") == 1
    assert any("'<eos>'" in warning for warning in result.report["warnings"])


def test_lines_with_nul_are_named(tmp_path: Path) -> None:
    content = "\n".join([*LINES, "bad\0line", *LINES])
    assert places(read_bytes(tmp_path, content, "text")) == [(6, "4", "nul_byte")]
    skipped = read_bytes(tmp_path, content, "text", bad_rows="skip")
    assert skipped.dataset is not None
    assert skipped.dataset.num_sequences == 10


def test_more_events_than_allowed_are_refused(tmp_path: Path) -> None:
    assert places(read_bytes(tmp_path, "\n".join(LINES), "text", max_rows=10)) == [(None, None, "too_many_rows")]


@given(st.lists(st.text(st.characters(categories=["L", "N"]), min_size=1), min_size=1))
def test_joining_undoes_tokenising(words: list[str]) -> None:
    line = " ".join(words)
    assert join_text(tokenize(line, "words"), "words") == line
    assert join_text([*tokenize(line, "characters"), "<eos>", "x"], "characters") == f"{line}\nx"
