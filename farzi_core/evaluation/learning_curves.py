"""Validation along the trainings of a side, and how much sooner one side reaches what another reaches.

Knows nothing of what the sides are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from farzi_core.evaluation.training import Look

Curve = tuple[Look, ...]
IsBetter = Callable[[float, float], bool]


def describe_curves(curves: Sequence[Curve]) -> list[dict[str, Any]]:
    """Return one ``{steps, seconds, validation}`` a seed."""
    return [
        {
            "steps": [look.step for look in curve],
            "seconds": [look.train_s for look in curve],
            "validation": [look.value for look in curve],
        }
        for curve in curves
    ]


@dataclass(frozen=True)
class SpeedUp:
    """How much sooner ours reach a validation value that both reach: seed by seed the best of whichever ends up worse.

    Attributes:
        seconds: mean seconds of training until our first look that is as good.
        reference_seconds: the same of the reference.
        ratio: reference over ours; None where ours take no time.
        seeds_reached: how many references get as far as ours; with the others it is ours that end up better.
        seeds: of how many.
    """

    seconds: float
    reference_seconds: float
    ratio: float | None
    seeds_reached: int
    seeds: int


def measure_speed_up(ours: Sequence[Curve], reference: Sequence[Curve], is_better: IsBetter) -> SpeedUp:
    """Compare seed by seed the times to the first look as good as the best of whichever ends up worse.

    Args:
        ours: looks of each seed, at least one of each.
        reference: looks of each seed of what is compared with.
        is_better: whether its first value is better than its second.
    """
    seconds, num_reached = [], 0
    for own, other in zip(ours, reference, strict=True):
        best, others_best = _best_value(own, is_better), _best_value(other, is_better)
        is_reached = not is_better(best, others_best)
        value = best if is_reached else others_best
        seconds.append([_time_to(curve, value, is_better) for curve in (own, other)])
        num_reached += is_reached
    own_s, other_s = np.mean(seconds, axis=0)
    ratio = float(other_s / own_s) if own_s > 0 else None
    return SpeedUp(float(own_s), float(other_s), ratio, num_reached, len(seconds))


def _best_value(curve: Curve, is_better: IsBetter) -> float:
    best = curve[0].value
    for look in curve[1:]:
        if is_better(look.value, best):
            best = look.value
    return best


def _time_to(curve: Curve, value: float, is_better: IsBetter) -> float:
    """Return the seconds of the first look that is as good as ``value``, which one is."""
    return next(look.train_s for look in curve if not is_better(value, look.value))
