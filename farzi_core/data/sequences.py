"""The canonical form of a data set: ragged sequences of event ids, and the vocabulary that names them.

Knows nothing of the formats users upload. Event ids are 0..V-1, the most frequent event first; there is no padding row
anywhere: padding exists in batches only (``farzi_core.data.batches``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from farzi_core.config import DataSummary, Task
from farzi_core.data_options import Tokenizer
from farzi_core.errors import DataError
from farzi_core.training_part import MIN_SPLIT_EVENTS, NUM_HELD_OUT

EventIds = NDArray[np.int32]
Offsets = NDArray[np.int64]


@dataclass(frozen=True)
class Vocabulary:
    """The user's own ids or words: event id ``i`` is ``tokens[i]``."""

    tokens: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def ids(self) -> dict[str, int]:
        """Event id of every token."""
        return {token: event for event, token in enumerate(self.tokens)}

    def encode(self, tokens: Iterable[str]) -> EventIds:
        """Return the event ids of ``tokens``.

        Raises:
            DataError: a token is not in the vocabulary.
        """
        try:
            return np.array([self.ids[token] for token in tokens], dtype=np.int32)
        except KeyError as error:
            raise DataError(
                f"{error.args[0]!r} is not among the {len(self)} events of this vocabulary; use one that is"
            ) from None

    def decode(self, events: Iterable[int]) -> list[str]:
        """Return the tokens of ``events``."""
        return [self.tokens[event] for event in events]


@dataclass(frozen=True, eq=False)
class SequenceDataset:
    """Ragged sequences over one vocabulary: sequence ``i`` is ``events[offsets[i]:offsets[i + 1]]``.

    Attributes:
        task: what the sequences are for.
        vocabulary: names of the events.
        events: int32 (N,), ids in 0..V-1; for recommendation in time order within a sequence.
        offsets: int64 (num_sequences + 1,), rising from 0 to N.
        names: the user's own name of every sequence, where sequences have names.
        num_validation_sequences: sequences that are kept for validation, just before those of the test; language only.
        num_test_sequences: last sequences, kept for the test; language only, recommendation splits every sequence.
        tokenizer: how text was cut into events; language only.

    Raises:
        DataError: the arrays do not describe sequences over the vocabulary.
    """

    task: Task
    vocabulary: Vocabulary
    events: EventIds
    offsets: Offsets
    names: tuple[str, ...] | None = None
    num_validation_sequences: int = 0
    num_test_sequences: int = 0
    tokenizer: Tokenizer | None = None

    def __post_init__(self) -> None:
        _check_arrays(self)

    @property
    def num_sequences(self) -> int:
        return len(self.offsets) - 1

    @property
    def num_events(self) -> int:
        return len(self.events)

    @property
    def vocab_size(self) -> int:
        return len(self.vocabulary)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of events of every sequence, int64 (num_sequences,)."""
        return np.diff(self.offsets)

    def sequence(self, index: int) -> EventIds:
        """Return the events of one sequence, a view."""
        return self.events[self.offsets[index] : self.offsets[index + 1]]

    def take(self, indices: Sequence[int] | NDArray[np.integer]) -> SequenceDataset:
        """Return the sequences at ``indices``, in that order, over the same vocabulary and without held-out shares.

        Cost: time and memory of the events taken.
        """
        chosen = np.asarray(indices, dtype=np.int64)
        events, offsets = gather_slices(self.events, self.offsets[chosen], self.offsets[chosen + 1])
        names = None if self.names is None else tuple(self.names[index] for index in chosen)
        return SequenceDataset(self.task, self.vocabulary, events, offsets, names, tokenizer=self.tokenizer)

    def summary(self) -> DataSummary:
        """Return the figures a spec is checked against."""
        longest = int(self.lengths.max(initial=0))
        return DataSummary(
            self.task, self.num_sequences, self.num_events, self.vocab_size, longest, self._measure_training_part()
        )

    def _measure_training_part(self) -> int:
        if self.task == "language_modeling":
            return int(self.offsets[self.num_sequences - self.num_validation_sequences - self.num_test_sequences])
        lengths = self.lengths
        return int(np.where(lengths < MIN_SPLIT_EVENTS, lengths, lengths - NUM_HELD_OUT).max(initial=0))

    def write_parquet(self, path: Path) -> None:
        """Write the data set as one parquet file; see ``farzi_core.data.canonical``."""
        from farzi_core.data.canonical import write_canonical  # noqa: PLC0415  pyarrow only when files are touched

        write_canonical(self, path)

    @classmethod
    def read_parquet(cls, path: Path) -> SequenceDataset:
        """Read what ``write_parquet`` wrote.

        Raises:
            ArtifactError: the file is damaged, truncated or of an unknown version.
        """
        from farzi_core.data.canonical import read_canonical  # noqa: PLC0415

        return read_canonical(path)


def gather_slices(events: EventIds, starts: Offsets, ends: Offsets) -> tuple[EventIds, Offsets]:
    """Return the slices ``events[starts[i]:ends[i]]`` one after the other, and the offsets of each."""
    offsets = np.zeros(len(starts) + 1, dtype=np.int64)
    np.cumsum(ends - starts, out=offsets[1:])
    positions = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], ends - starts)
    return events[positions], offsets


def _check_arrays(dataset: SequenceDataset) -> None:
    events, offsets = dataset.events, dataset.offsets
    if events.dtype != np.int32 or events.ndim != 1 or offsets.dtype != np.int64 or offsets.ndim != 1:
        raise DataError(
            f"events {events.dtype}{events.shape} and offsets {offsets.dtype}{offsets.shape} were given; "
            "pass int32 (N,) and int64 (num_sequences + 1,)"
        )
    if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != len(events) or bool((np.diff(offsets) < 0).any()):
        raise DataError(f"offsets must rise from 0 to the number of events, {len(events)}")
    if len(events) and (events.min() < 0 or events.max() >= dataset.vocab_size):
        raise DataError(
            f"event ids from {events.min()} to {events.max()} were given for {dataset.vocab_size} tokens; "
            f"allowed are 0 to {dataset.vocab_size - 1}"
        )
    if dataset.names is not None and len(dataset.names) != dataset.num_sequences:
        raise DataError(f"{len(dataset.names)} names were given for {dataset.num_sequences} sequences; give one each")
    held_out = dataset.num_validation_sequences + dataset.num_test_sequences
    if min(dataset.num_validation_sequences, dataset.num_test_sequences) < 0 or held_out > dataset.num_sequences:
        raise DataError(f"{held_out} held-out sequences were asked for, out of {dataset.num_sequences}")
