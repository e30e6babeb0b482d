from __future__ import annotations

import numpy as np
import pytest

from farzi_core.evaluation.noise import replace_events


def test_the_share_and_the_replacements_are_as_asked_for() -> None:
    events = np.zeros((400, 100), dtype=np.int32)
    found = replace_events(events, 0.2, 50, np.random.default_rng(0))
    assert found.dtype == np.int32
    assert (found != 0).mean() == pytest.approx(0.2 * 49 / 50, abs=0.01)
    counts = np.bincount(found[found != 0], minlength=50)[1:]
    assert counts.min() > 0.6 * counts.mean()
    assert counts.max() < 1.5 * counts.mean()


def test_padding_stays_and_the_input_is_left_alone() -> None:
    events = np.array([[-1, -1, 3, 4], [5, 6, 7, 8]])
    found = replace_events(events, 1.0, 2, np.random.default_rng(0))
    assert (found[0, :2] == -1).all()
    assert set(found[events >= 0].tolist()) <= {0, 1}
    assert events[1].tolist() == [5, 6, 7, 8]


def test_a_level_of_zero_changes_nothing_and_a_seed_repeats() -> None:
    events = np.arange(1000, dtype=np.int64)
    assert np.array_equal(replace_events(events, 0.0, 9, np.random.default_rng(0)), events)
    first, second, other = (replace_events(events, 0.5, 9, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)
