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
    """How much sooner ours reach their best validation value than the reference does.

    Attributes:
        seconds: mean seconds of training until our best look.
        reference_seconds: mean seconds of the reference until its first look at least as good; None where it never is.
        ratio: reference over ours, over the seeds whose reference gets there; None where none does. Seeds whose reference
            never does are left out, though ours were better there: with fewer than all it is rather too low.
        seeds_reached: how many references get there.
        seeds: of how many.
    """

    seconds: float
    reference_seconds: float | None
    ratio: float | None
    seeds_reached: int
    seeds: int


def measure_speed_up(ours: Sequence[Curve], reference: Sequence[Curve], is_better: IsBetter) -> SpeedUp:
    """Compare seed by seed: the time to our best look with the reference's time to its first look that is as good.

    Args:
        ours: looks of each seed.
        reference: looks of each seed of what is compared with.
        is_better: whether its first value is better than its second.
    """
    best = [_best_look(curve, is_better) for curve in ours]
    pairs = [
        (look.train_s, reached.train_s)
        for look, curve in zip(best, reference, strict=False)
        if (reached := _first_as_good(curve, look.value, is_better)) is not None
    ]
    seconds = float(np.mean([look.train_s for look in best]))
    if not pairs:
        return SpeedUp(seconds, None, None, 0, len(best))
    own_s, reference_s = np.sum(pairs, axis=0)
    ratio = float(reference_s / own_s) if own_s > 0 else None
    return SpeedUp(seconds, float(reference_s / len(pairs)), ratio, len(pairs), len(best))


def _best_look(curve: Curve, is_better: IsBetter) -> Look:
    best = curve[0]
    for look in curve[1:]:
        if is_better(look.value, best.value):
            best = look
    return best


def _first_as_good(curve: Curve, value: float, is_better: IsBetter) -> Look | None:
    return next((look for look in curve if not is_better(value, look.value)), None)
