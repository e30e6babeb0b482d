from __future__ import annotations

import math

import pytest

from farzi_core.distillation.descent import MEDIAN_STEPS, clip_factor, cosine_lr


def test_cosine_goes_from_the_learning_rate_to_zero() -> None:
    assert cosine_lr(0.5, 0, 10) == 0.5
    assert cosine_lr(0.5, 5, 10) == pytest.approx(0.25)
    assert cosine_lr(0.5, 9, 10) == pytest.approx(0.25 * (1 + math.cos(0.9 * math.pi)))
    assert cosine_lr(0.5, 10, 10) == pytest.approx(0.0)


def test_clipping_follows_the_median_of_the_last_fifty() -> None:
    assert clip_factor([4.0], "median") == 1.0
    assert clip_factor([1.0, 2.0, 10.0], "median") == pytest.approx(0.2)
    assert clip_factor([1.0, 2.0, 0.5], "median") == 1.0
    old = [1000.0] * 30
    assert clip_factor([*old, *[1.0] * (MEDIAN_STEPS - 1), 4.0], "median") == pytest.approx(0.25)
    assert clip_factor([1.0, 8.0], 2.0) == pytest.approx(0.25)
    assert clip_factor([1.0, 8.0], None) == 1.0
    assert clip_factor([0.0, 0.0], "median") == 1.0
