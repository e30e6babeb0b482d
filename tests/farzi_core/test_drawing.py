from __future__ import annotations

import numpy as np

from farzi_core.drawing import draw_events, draw_uniforms, take_prepared


def test_random_numbers_are_the_same_everywhere() -> None:
    """Fixed figures: a published file must be drawn again by every later version of numpy and of ours."""
    numbers = draw_uniforms(2, 3, 2**62 + 5)
    raw = np.random.Philox(key=[2**62 + 5, 1]).random_raw(3)
    assert numbers[1].tolist() == [int(value >> np.uint64(11)) / 2**53 for value in raw]
    assert draw_uniforms(1, 2, 0).tolist() == [[0.011546754286331562, 0.24154919656271812]]


def test_more_draws_and_positions_add_to_those_there_are() -> None:
    few, many = draw_uniforms(2, 50, 7), draw_uniforms(5, 80, 7)
    assert np.array_equal(many[:2, :50], few)
    assert len({tuple(row) for row in many.tolist()}) == 5
    assert many.min() >= 0.0
    assert many.max() < 1.0


def test_events_are_cut_where_the_cumulative_probability_passes() -> None:
    probabilities = np.array([[0.0, 0.5, 0.0, 0.5, 0.0], [2.0, 1.0, 1.0, 0.0, 0.0]])
    uniforms = np.array([[0.0, 0.0], [0.49, 0.49], [0.5, 0.5], [1.0 - 2.0**-53, 0.75]])
    assert draw_events(probabilities, uniforms).tolist() == [[1, 0], [1, 0], [3, 1], [3, 2]]


def test_rounding_never_draws_an_impossible_event() -> None:
    probabilities = np.concatenate([np.full((1, 10), 0.1), np.zeros((1, 3))], axis=1)
    assert draw_events(probabilities, np.array([[1.0]])).tolist() == [[9]]


def test_frequencies_follow_the_probabilities() -> None:
    probabilities = np.array([[0.1, 0.2, 0.7]])
    drawn = draw_events(probabilities, draw_uniforms(20_000, 1, 3))
    np.testing.assert_allclose(np.bincount(drawn[:, 0]) / 20_000, probabilities[0], atol=0.015)


def test_prepared_draws_are_taken_in_their_order_from_one_that_the_seed_names() -> None:
    prepared = np.arange(6 * 3 * 2).reshape(6, 3, 2)
    taken = take_prepared(prepared, 4, seed=1)
    assert taken.shape == (4, 3, 2)
    assert taken.dtype == np.int32
    whole = take_prepared(prepared, 100, seed=1)
    assert np.array_equal(whole[:4], taken)
    # Fixed figures: a published file must be drawn again by every later version.
    assert whole[:, 0, 0].tolist() == [6, 12, 18, 24, 30, 0]
    assert np.array_equal(take_prepared(prepared, 2, seed=2**63), prepared[[2, 3]])
