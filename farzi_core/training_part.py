"""What is left of a data set to train on once validation and test are taken away, as far as its sizes say.

Leave-one-out takes the last two events of every sequence of three or more, and leaves shorter ones whole; a text loses its last
lines. Imports no torch and no numpy, so that a submission can be checked; ``farzi_core.data.splits`` does the splitting.
"""

from __future__ import annotations

from farzi_core.config import DataSummary
from farzi_core.errors import DataError

MIN_SPLIT_EVENTS = 3
NUM_HELD_OUT = 2
MIN_PAIR_EVENTS = 2


def measure_training_part(longest: int, num_sequences: int, num_events: int, num_short: int | None) -> int | None:
    """Return how many events the longest training sequence has.

    Args:
        longest: events of the longest sequence.
        num_sequences: of the data set.
        num_events: of the data set.
        num_short: sequences that are too short to be split; None where that was not counted.

    Returns:
        None where the sizes do not say it.
    """
    if longest > MIN_SPLIT_EVENTS:
        return longest - NUM_HELD_OUT
    if longest < MIN_SPLIT_EVENTS or num_short is None:
        return None
    # No sequence has more than three events: what the short ones have above one event each are sequences of two.
    num_pairs = num_events - MIN_SPLIT_EVENTS * (num_sequences - num_short) - num_short
    return MIN_PAIR_EVENTS if num_pairs > 0 else MIN_SPLIT_EVENTS - NUM_HELD_OUT


def require_pairs(data: DataSummary) -> None:
    """Refuse data that leave no event to predict from another one.

    Raises:
        DataError: no training sequence has two events; code ``sequences_too_short``.
    """
    longest = data.max_training_length
    if data.task == "sequential_recommendation" and longest is not None and longest < MIN_PAIR_EVENTS:
        raise DataError(
            "no training sequence has two events once validation and test events are taken away, so there is nothing to learn "
            f"from; give at least one sequence of {MIN_PAIR_EVENTS + NUM_HELD_OUT} events",
            code="sequences_too_short",
        )
