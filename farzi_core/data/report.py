"""What a report says of a data set that could be read: histograms, statistics, preview. JSON values only."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from farzi_core.data.problems import shorten
from farzi_core.data.sequences import SequenceDataset
from farzi_core.data.timestamps import TimeKind
from farzi_core.training_part import MIN_SPLIT_EVENTS

PREVIEW_SEQUENCES = 20
PREVIEW_EVENTS = 20
_TIME_BINS = 50
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Bin = dict[str, Any]
Times = NDArray[np.int64] | NDArray[np.float64]


def count_sizes(sizes: NDArray[np.integer]) -> list[Bin]:
    """Return a histogram of counts in bins that double: 1, 2-3, 4-7, ...; ``low`` and ``high`` are both inside the bin."""
    positive = sizes[sizes > 0]
    if len(positive) == 0:
        return []
    powers = np.bincount(np.frexp(positive.astype(np.float64))[1] - 1)
    return [{"low": 2**power, "high": 2 ** (power + 1) - 1, "count": int(count)} for power, count in enumerate(powers)]


def count_times(times: Times, kind: TimeKind | None) -> list[Bin]:
    """Return a histogram of equal spans of time; ISO times come back as ISO times in UTC."""
    low, high = times.min().item(), times.max().item()
    # Halved, because the distance of two floats may be larger than any float.
    counts, edges = np.histogram(times / 2.0, bins=_TIME_BINS if high > low else 1, range=(low / 2.0, high / 2.0))
    bounds = [_show_time(edge, kind) for edge in [low, *(2.0 * edges[1:-1]).tolist(), high]]
    return [
        {"low": start, "high": end, "count": int(count)}
        for start, end, count in zip(bounds[:-1], bounds[1:], counts, strict=True)
    ]


def describe_dataset(dataset: SequenceDataset) -> dict[str, Any]:
    """Return the statistics of every task."""
    lengths = dataset.lengths
    return {
        "num_sequences": dataset.num_sequences,
        "num_events": dataset.num_events,
        "vocab_size": dataset.vocab_size,
        "sequence_length": {
            "min": int(lengths.min()),
            "median": float(np.median(lengths)),
            "mean": float(lengths.mean()),
            "max": int(lengths.max()),
        },
    }


def describe_interactions(dataset: SequenceDataset, times: Times | None) -> dict[str, Any]:
    """Return the statistics of recommendation.

    ``share_repeated_events``: share of events that occurred before in their sequence; whether repeats are natural decides
    whether events of the history stay candidates. ``num_duplicate_rows``: rows whose user, item and time are those of another
    row before; None without times, where a duplicate cannot be told from a repeated event.
    """
    owners = np.repeat(np.arange(dataset.num_sequences, dtype=np.int64), dataset.lengths)
    num_distinct = pl.Series(owners * dataset.vocab_size + dataset.events).n_unique()
    return {
        **describe_dataset(dataset),
        "share_repeated_events": 1.0 - num_distinct / dataset.num_events,
        "num_duplicate_rows": None if times is None else _count_duplicates(owners, dataset, times),
        "num_short_sequences": int((dataset.lengths < MIN_SPLIT_EVENTS).sum()),
    }


def describe_text(dataset: SequenceDataset, num_train_events: int, unknown: int) -> dict[str, Any]:
    """Return the statistics of language: how the lines are split, and how many events are unknown (event id ``unknown``)."""
    is_unknown = dataset.events == unknown
    return {
        **describe_dataset(dataset),
        "num_train_events": num_train_events,
        "num_train_lines": dataset.num_sequences - dataset.num_validation_sequences - dataset.num_test_sequences,
        "num_validation_lines": dataset.num_validation_sequences,
        "num_test_lines": dataset.num_test_sequences,
        "share_unknown_train": float(is_unknown[:num_train_events].mean()),
        "share_unknown_held_out": float(is_unknown[num_train_events:].mean()),
    }


def count_popularity(dataset: SequenceDataset) -> list[Bin]:
    """Return a histogram of how often events occur."""
    return count_sizes(np.bincount(dataset.events, minlength=dataset.vocab_size))


def preview_sequences(dataset: SequenceDataset) -> list[dict[str, Any]]:
    """Return the first sequences, their first events in the user's own ids or words, escaped as values of problems are."""
    return [
        {
            "name": None if dataset.names is None else shorten(dataset.names[index]),
            "num_events": int(dataset.lengths[index]),
            "events": [
                shorten(token) for token in dataset.vocabulary.decode(dataset.sequence(index)[:PREVIEW_EVENTS].tolist())
            ],
        }
        for index in range(min(PREVIEW_SEQUENCES, dataset.num_sequences))
    ]


def _count_duplicates(owners: NDArray[np.int64], dataset: SequenceDataset, times: Times) -> int:
    """Count within the stretches of one user at one time: the rows are in the order of users and times."""
    is_new = np.ones(len(times), dtype=np.bool_)
    is_new[1:] = (owners[1:] != owners[:-1]) | (times[1:] != times[:-1])
    tied = ~is_new
    tied[:-1] |= tied[1:]
    stretches = np.cumsum(is_new)[tied]
    return len(stretches) - pl.Series(stretches * dataset.vocab_size + dataset.events[tied]).n_unique()


def _show_time(value: float, kind: TimeKind | None) -> float | int | str:
    if kind != "iso8601":
        return value
    return (_EPOCH + timedelta(microseconds=round(value))).isoformat()
