"""Training, validation and test parts of a data set.

Recommendation leaves one out by time: of every sequence of three events or more the last event is the test target, the one
before it the validation target, the rest is training data; shorter sequences are training data whole. Language keeps the
order of the text: the last share of lines is the test, the share before it validation (the vocabulary was counted on the
rest when the text was read). Knows nothing of metrics or batches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from farzi_core.data.sequences import EventIds, SequenceDataset, gather_slices
from farzi_core.errors import DataError
from farzi_core.training_part import MIN_PAIR_EVENTS, MIN_SPLIT_EVENTS, NUM_HELD_OUT


@dataclass(frozen=True)
class HeldOut:
    """Held-out events of recommendation: what follows ``histories[i]`` is ``targets[i]``.

    Attributes:
        histories: every event before the target, in time order; M sequences.
        targets: int32 (M,).
    """

    histories: SequenceDataset
    targets: EventIds


@dataclass(frozen=True)
class HeldOutStream:
    """Held-out text: int32 (N,), line after line, each ended by ``<eos>``."""

    stream: EventIds


@dataclass(frozen=True)
class Split:
    """The three parts of a data set; both held-out parts have the type that fits the task."""

    train: SequenceDataset
    validation: HeldOut | HeldOutStream
    test: HeldOut | HeldOutStream


def split_dataset(dataset: SequenceDataset) -> Split:
    """Split ``dataset`` as its task asks.

    Returns:
        For ``sequential_recommendation`` held-out parts of type ``HeldOut``, for ``language_modeling`` ``HeldOutStream``.

    Raises:
        DataError: nothing can be held out; code ``sequences_too_short`` or ``text_too_short``.

    Cost: one copy of the events per part.
    """
    if dataset.task == "language_modeling":
        return _split_stream(dataset)
    return _leave_one_out(dataset)


def _leave_one_out(dataset: SequenceDataset) -> Split:
    starts, ends = dataset.offsets[:-1], dataset.offsets[1:]
    long_enough = dataset.lengths >= MIN_SPLIT_EVENTS
    if not long_enough.any():
        raise DataError(
            f"no sequence has {MIN_SPLIT_EVENTS} events, so none can be split into training, validation and test; "
            "give longer sequences",
            code="sequences_too_short",
        )
    events, offsets = gather_slices(dataset.events, starts, np.where(long_enough, ends - NUM_HELD_OUT, ends))
    train = SequenceDataset(dataset.task, dataset.vocabulary, events, offsets, dataset.names)
    return Split(train, _hold_out(dataset, long_enough, 2), _hold_out(dataset, long_enough, 1))


def _hold_out(dataset: SequenceDataset, chosen: np.typing.NDArray[np.bool_], from_end: int) -> HeldOut:
    starts, targets_at = dataset.offsets[:-1][chosen], dataset.offsets[1:][chosen] - from_end
    events, offsets = gather_slices(dataset.events, starts, targets_at)
    names = None
    if dataset.names is not None:
        names = tuple(dataset.names[index] for index in np.flatnonzero(chosen))
    histories = SequenceDataset(dataset.task, dataset.vocabulary, events, offsets, names)
    return HeldOut(histories, dataset.events[targets_at])


def _split_stream(dataset: SequenceDataset) -> Split:
    num_train = dataset.num_sequences - dataset.num_validation_sequences - dataset.num_test_sequences
    if min(num_train, dataset.num_validation_sequences, dataset.num_test_sequences) < 1:
        raise DataError(
            f"{num_train} training, {dataset.num_validation_sequences} validation and {dataset.num_test_sequences} test lines "
            "cannot be used; every part needs at least one line",
            code="text_too_short",
        )
    train_end = int(dataset.offsets[num_train])
    test_start = int(dataset.offsets[num_train + dataset.num_validation_sequences])
    sizes = {"training": train_end, "validation": test_start - train_end, "test": dataset.num_events - test_start}
    for part, num_events in sizes.items():
        if num_events < MIN_PAIR_EVENTS:
            raise DataError(
                f"the {part} lines hold {num_events} {'event' if num_events == 1 else 'events'}; every part needs at least "
                f"{MIN_PAIR_EVENTS}, one to predict and one before it: give more or longer lines",
                code="text_too_short",
            )
    train = SequenceDataset(
        dataset.task,
        dataset.vocabulary,
        dataset.events[:train_end],
        dataset.offsets[: num_train + 1],
        None if dataset.names is None else dataset.names[:num_train],
        tokenizer=dataset.tokenizer,
    )
    return Split(train, HeldOutStream(dataset.events[train_end:test_start]), HeldOutStream(dataset.events[test_start:]))
