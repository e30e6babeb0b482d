"""Text, one sentence a line, as sequences of words or characters, each ended by ``<eos>``.

The vocabulary is counted on the training lines only; whatever is rarer or new there becomes ``<unk>``. Knows nothing of
models. Blank lines are passed over.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from farzi_core.data.interaction_rows import require_max_rows
from farzi_core.data.line_blocks import PYTHON_BLOCK_BYTES, LineBlock, LineBlocks, OnProgress
from farzi_core.data.problems import MAX_TOKEN_CHARACTERS, Problem, ProblemLog, shorten
from farzi_core.data.sequences import SequenceDataset, Vocabulary
from farzi_core.data_options import END_OF_LINE, DatasetOptions, Tokenizer
from farzi_core.errors import DataError

UNKNOWN = "<unk>"
_UNKNOWN_CODE, _END_CODE = 0, 1
_NUM_SPECIAL = 2


@dataclass(frozen=True)
class FoundText:
    """What a text held.

    Attributes:
        dataset: every line as a sequence.
        num_rows: lines that are not blank, good and bad.
        num_train_events: events of the training lines, ``<eos>`` included.
    """

    dataset: SequenceDataset
    num_rows: int
    num_train_events: int


def read_text(
    path: Path,
    options: DatasetOptions,
    log: ProblemLog,
    *,
    max_rows: int | None = None,
    on_progress: OnProgress | None = None,
) -> FoundText:
    """Read a text; lines with a NUL byte go to ``log``.

    Raises:
        DataError: the text as a whole cannot be used.

    Cost: one pass; 4 bytes an event twice over, the distinct words as Python strings, and a block of 1 MiB as Python strings.
    """
    collector = _TextCollector(options, log, max_rows)
    with LineBlocks(path, on_progress, block_bytes=PYTHON_BLOCK_BYTES) as blocks:
        for block in blocks:
            collector.add(block)
    if collector.num_rows == 0:
        raise DataError("the file is empty; upload at least three lines of text", code="empty_file")
    dataset, num_train_events = collector.finish()
    return FoundText(dataset, collector.num_rows, num_train_events)


def tokenize(line: str, tokenizer: Tokenizer) -> list[str]:
    """Cut one line into words or characters, without its outer white space."""
    return line.split() if tokenizer == "words" else list(line.strip())


def count_held_out_lines(num_lines: int, options: DatasetOptions) -> tuple[int, int]:
    """Return the number of validation and of test lines, at least one each.

    Raises:
        DataError: no line is left for training; code ``text_too_short``.
    """
    num_validation = max(1, round(num_lines * options.validation_fraction))
    num_test = max(1, round(num_lines * options.test_fraction))
    if num_validation + num_test >= num_lines:
        raise DataError(
            f"{num_lines} lines of text cannot be split into training, {num_validation} validation and {num_test} test lines; "
            "give more lines, or lower validation_fraction and test_fraction",
            code="text_too_short",
        )
    return num_validation, num_test


def _find_problem(line: str, tokens: list[str], number: int) -> Problem | None:
    if "\0" in line:
        position = str(line.index("\0") + 1)
        reason = f"character {position} of the line is a NUL byte, which no text has; remove it"
        return Problem(reason, "nul_byte", number, position, shorten(line))
    longest = max(tokens, key=len)
    if len(longest) > MAX_TOKEN_CHARACTERS:
        reason = f"a word is longer than {MAX_TOKEN_CHARACTERS} characters; put white space between words, or use characters"
        return Problem(reason, "value_too_long", number, str(line.find(longest) + 1), shorten(longest))
    return None


class _TextCollector:
    def __init__(self, options: DatasetOptions, log: ProblemLog, max_rows: int | None) -> None:
        self.num_rows = 0
        self._options = options
        self._log = log
        self._max_rows = max_rows
        self._codes: dict[str, int] = {UNKNOWN: _UNKNOWN_CODE, END_OF_LINE: _END_CODE}
        self._events = array("i")
        self._offsets = array("q", [0])
        self._num_marks = 0

    def add(self, block: LineBlock) -> None:
        problems = []
        for number, line in block.numbered_lines():
            tokens = tokenize(line.lower() if self._options.lowercase else line, self._options.tokenizer)
            if not tokens:
                continue
            self.num_rows += 1
            problem = _find_problem(line, tokens, number)
            if problem is not None:
                problems.append(problem)
                continue
            self._keep(tokens)
        self._log.extend(problems)
        # Words count as rows too, or a text of few long lines would escape the limit.
        require_max_rows(max(self.num_rows, len(self._events)), self._max_rows)

    def finish(self) -> tuple[SequenceDataset, int]:
        offsets = np.array(self._offsets, dtype=np.int64)
        num_lines = len(offsets) - 1
        num_validation, num_test = count_held_out_lines(num_lines, self._options)
        codes = np.frombuffer(self._events, dtype=np.int32)
        num_train_events = int(offsets[num_lines - num_validation - num_test])
        vocabulary, event_of = self._choose_vocabulary(codes[:num_train_events])
        if self._num_marks:
            self._log.warnings.append(f"{self._num_marks} lines hold {END_OF_LINE!r} themselves; it is read as a line end")
        dataset = SequenceDataset(
            "language_modeling",
            vocabulary,
            event_of[codes],
            offsets,
            num_validation_sequences=num_validation,
            num_test_sequences=num_test,
            tokenizer=self._options.tokenizer,
        )
        return dataset, num_train_events

    def _keep(self, tokens: list[str]) -> None:
        codes = self._codes
        self._num_marks += END_OF_LINE in tokens
        self._events.extend([codes.setdefault(token, len(codes)) for token in tokens])
        self._events.append(_END_CODE)
        self._offsets.append(len(self._events))

    def _choose_vocabulary(self, train_codes: NDArray[np.int32]) -> tuple[Vocabulary, NDArray[np.int32]]:
        """Return the vocabulary, most frequent first, and the event id of every code."""
        counts = np.bincount(train_codes, minlength=len(self._codes))
        ordinary = np.arange(_NUM_SPECIAL, len(counts))
        seen = ordinary[counts[ordinary] > 0]
        if len(seen) < 2:
            raise DataError(
                f"the training lines hold {len(seen)} distinct event; at least 2 are needed to predict anything",
                code="one_item",
            )
        by_count = seen[np.argsort(-counts[seen], kind="stable")]
        kept, dropped = np.split(by_count, [self._options.max_vocab_size - _NUM_SPECIAL])
        counts[_UNKNOWN_CODE] += counts[dropped].sum()
        chosen = np.concatenate([[_UNKNOWN_CODE, _END_CODE], kept])
        chosen = chosen[np.argsort(-counts[chosen], kind="stable")]
        event_of = np.empty(len(counts), dtype=np.int32)
        event_of[:] = int(np.flatnonzero(chosen == _UNKNOWN_CODE)[0])
        event_of[chosen] = np.arange(len(chosen), dtype=np.int32)
        words = list(self._codes)
        return Vocabulary(tuple(words[code] for code in chosen)), event_of
