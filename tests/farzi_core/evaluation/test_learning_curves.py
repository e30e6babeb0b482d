from __future__ import annotations

from dataclasses import asdict

import pytest

from farzi_core.evaluation.learning_curves import IsBetter, describe_curves, measure_speed_up
from farzi_core.evaluation.training import Look, TrainingPlan
from farzi_core.metagrad import AdamConfig


def plan(metric: str) -> IsBetter:
    return TrainingPlan(AdamConfig(0.1), 10, 5, None, metric).is_better


def curve(*values: float, seconds: float = 1.0) -> tuple[Look, ...]:
    return tuple(Look(10 * (i + 1), seconds * (i + 1), value) for i, value in enumerate(values))


def test_curves_are_lists_of_numbers() -> None:
    assert describe_curves([curve(0.1, 0.3, seconds=0.5)]) == [
        {"steps": [10, 20], "seconds": [0.5, 1.0], "validation": [0.1, 0.3]}
    ]


def test_time_to_the_first_look_that_is_as_good() -> None:
    ours = [curve(0.2, 0.4, 0.3)]  # best after 2 s
    reference = [curve(0.1, 0.3, 0.4, 0.6, seconds=10.0)]  # there after 30 s, not at its own best
    found = measure_speed_up(ours, reference, plan("ndcg@10"))
    assert asdict(found) == {"seconds": 2.0, "reference_seconds": 30.0, "ratio": 15.0, "seeds_reached": 1, "seeds": 1}


def test_lower_perplexity_is_better() -> None:
    found = measure_speed_up([curve(9.0, 5.0)], [curve(8.0, 6.0, 5.5, 4.0)], plan("perplexity"))
    assert found.ratio == pytest.approx(4.0 / 2.0)


def test_seeds_are_compared_pair_by_pair() -> None:
    ours = [curve(0.5), curve(0.2, 0.9)]
    reference = [curve(0.1, 0.5), curve(0.8, 0.8, 0.95)]
    found = measure_speed_up(ours, reference, plan("mrr"))
    assert found.seconds == 1.5
    assert found.reference_seconds == 2.5
    assert found.ratio == pytest.approx((2.0 + 3.0) / (1.0 + 2.0))
    assert (found.seeds_reached, found.seeds) == (2, 2)


def test_where_ours_end_up_better_the_reference_says_how_good_is_good_enough() -> None:
    ours = [curve(0.3, 0.4, 0.5)]
    reference = [curve(0.1, 0.4, 0.2, seconds=8.0)]
    found = measure_speed_up(ours, reference, plan("mrr"))
    assert asdict(found) == {"seconds": 2.0, "reference_seconds": 16.0, "ratio": 8.0, "seeds_reached": 0, "seeds": 1}
    partly = measure_speed_up([*ours, curve(0.5)], [*reference, curve(0.5, seconds=5.0)], plan("mrr"))
    assert (partly.ratio, partly.seeds_reached, partly.seeds) == (21.0 / 3.0, 1, 2)


def test_a_value_that_both_have_at_their_first_look_is_reached_there() -> None:
    found = measure_speed_up([curve(0.5, 0.1)], [curve(0.5, 0.2, seconds=3.0)], plan("mrr"))
    assert (found.ratio, found.seeds_reached) == (3.0, 1)
