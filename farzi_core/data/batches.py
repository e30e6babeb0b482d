"""Rectangular id batches from ragged sequences and streams. Numpy only; knows nothing of students or devices.

A batch is int64 (B, L), padded **on the left** with ``PADDING_ID``, so that the last column is always the latest event.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from farzi_core.data.sequences import EventIds, SequenceDataset
from farzi_core.errors import DataError

PADDING_ID = -1
Batch = NDArray[np.int64]


def pad_sequences(
    dataset: SequenceDataset,
    indices: Sequence[int] | NDArray[np.integer] | None = None,
    *,
    max_length: int,
) -> Batch:
    """Return the most recent ``max_length`` events of the sequences at ``indices``.

    Args:
        dataset: where the sequences are.
        indices: which sequences, B of them; None takes all, in order.
        max_length: L, the width of the batch.

    Returns:
        int64 (B, L), left-padded with ``PADDING_ID``.

    Cost: O(B L) time and memory.
    """
    chosen = np.arange(dataset.num_sequences) if indices is None else np.asarray(indices, dtype=np.int64)
    starts, ends = dataset.offsets[chosen], dataset.offsets[chosen + 1]
    positions = ends[:, None] + np.arange(-max_length, 0)
    if dataset.num_events == 0:
        return np.full(positions.shape, PADDING_ID, dtype=np.int64)
    padded: Batch = dataset.events[np.maximum(positions, 0)].astype(np.int64)
    padded[positions < starts[:, None]] = PADDING_ID
    return padded


def cut_windows(stream: EventIds, length: int) -> Batch:
    """Cut a stream into windows for next-event prediction: each begins with the last event of the one before.

    Every event but the stream's first is a target in exactly one window, and no window crosses another's targets.

    Args:
        stream: int32 (N,), N >= 2.
        length: L >= 2, the width of the windows.

    Returns:
        int64 (ceil((N - 1) / (L - 1)), L); the last window is padded on the left where the stream ends early.

    Raises:
        DataError: the stream has no event to predict, or the windows no room for one.
    """
    if len(stream) < 2 or length < 2:
        raise DataError(f"a stream of {len(stream)} events in windows of {length} has nothing to predict; both need at least 2")
    num_windows = -(-(len(stream) - 1) // (length - 1))
    windows = np.full((num_windows, length), PADDING_ID, dtype=np.int64)
    starts = np.arange(num_windows - 1) * (length - 1)
    windows[:-1] = stream[starts[:, None] + np.arange(length)]
    rest = stream[(num_windows - 1) * (length - 1) :]
    windows[-1, length - len(rest) :] = rest
    return windows
