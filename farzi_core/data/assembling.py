"""Interactions to sequences: rare ones filtered out, in time order, with ids by frequency. Knows nothing of files."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from farzi_core.data.interaction_rows import Interactions
from farzi_core.data.sequences import SequenceDataset, Vocabulary
from farzi_core.data.sorting import stable_order
from farzi_core.data_options import DatasetOptions
from farzi_core.errors import DataError
from farzi_core.training_part import MIN_SPLIT_EVENTS


def assemble_sequences(
    interactions: Interactions, options: DatasetOptions
) -> tuple[SequenceDataset, NDArray[np.int64] | NDArray[np.float64] | None]:
    """Return the sequences, users in order of first appearance, and the time of every event where there are times.

    Events of a user are in time order; equal times keep the order of the file. Equally frequent events get ids in order of
    first appearance.

    Raises:
        DataError: what is left cannot be split and ranked: codes ``no_events``, ``one_user``, ``one_item``,
            ``sequences_too_short``.

    Cost: O(N log N) time, about 50 bytes an event.
    """
    kept = _filter_rare(interactions, options)
    order = _time_order(interactions, kept)
    users, items = interactions.users[order], interactions.items[order]
    _require_usable(users, items)
    user_counts = np.bincount(users)
    present = np.flatnonzero(user_counts)
    offsets = np.concatenate([[0], np.cumsum(user_counts[present])]).astype(np.int64)
    tokens, event_of = _rank_items(items, interactions.item_names)
    dataset = SequenceDataset(
        "sequential_recommendation",
        Vocabulary(tokens),
        event_of[items],
        offsets,
        tuple(interactions.user_names[code] for code in present),
    )
    return dataset, None if interactions.times is None else interactions.times[order]


def _filter_rare(interactions: Interactions, options: DatasetOptions) -> NDArray[np.bool_]:
    """Return the rows that are left when rare events and short sequences were dropped in turn until none is left."""
    users, items = interactions.users, interactions.items
    kept = np.ones(len(users), dtype=np.bool_)
    while True:
        num_before = np.count_nonzero(kept)
        if options.min_item_events > 1:
            kept &= (np.bincount(items[kept], minlength=len(interactions.item_names)) >= options.min_item_events)[items]
        if options.min_sequence_events > 1:
            kept &= (np.bincount(users[kept], minlength=len(interactions.user_names)) >= options.min_sequence_events)[users]
        if np.count_nonzero(kept) == num_before:
            return kept


def _time_order(interactions: Interactions, kept: NDArray[np.bool_]) -> NDArray[np.int64]:
    rows = np.flatnonzero(kept)
    times = [] if interactions.times is None else [interactions.times[rows]]
    return rows[stable_order([*times, interactions.users[rows]])]


def _rank_items(items: NDArray[np.int32], names: tuple[str, ...]) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    counts = np.bincount(items, minlength=len(names))
    present = np.flatnonzero(counts)
    ranked = present[np.argsort(-counts[present], kind="stable")]
    event_of = np.full(len(names), -1, dtype=np.int32)
    event_of[ranked] = np.arange(len(ranked), dtype=np.int32)
    return tuple(names[code] for code in ranked), event_of


def _require_usable(users: NDArray[np.int32], items: NDArray[np.int32]) -> None:
    if len(users) == 0:
        raise DataError(
            "no event is left: every row is bad or was filtered out; see the problems, or lower the filters", code="no_events"
        )
    if users.min() == users.max():
        raise DataError(
            "all rows have the same user; at least 2 users are needed, to learn from and to test on", code="one_user"
        )
    if items.min() == items.max():
        raise DataError("all rows have the same item; at least 2 items are needed to predict anything", code="one_item")
    longest = int(np.bincount(users).max())
    if longest < MIN_SPLIT_EVENTS:
        raise DataError(
            f"the longest sequence has {longest} events; at least one needs {MIN_SPLIT_EVENTS}: training, validation and test",
            code="sequences_too_short",
        )
