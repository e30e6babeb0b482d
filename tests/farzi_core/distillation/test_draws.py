"""What outer steps draw: its distribution, over the whole outer loop."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from farzi_core.distillation.draws import draw_num_inner_steps, draw_start_params, longest_inner_loop, trajectory_share
from farzi_core.distillation.setting import Setting, prepare_setting
from farzi_core.distillation.teachers import TeacherTrajectory
from farzi_core.seeding import derive_generator
from tests.farzi_core.markov import interactions, tiny_spec

STEPS = 400
NUM_CHECKPOINTS = 5
FRESH = -1


def prepare(**overrides: Any) -> Setting:
    outer = {"num_steps": STEPS, **overrides.pop("outer", {})}
    return prepare_setting(interactions(), tiny_spec(outer=outer, **overrides))


def draw_starts(setting: Setting, num_teachers: int = 1) -> list[tuple[int, int]]:
    """Return teacher and checkpoint of every outer step; FRESH where there is none."""
    teachers = [
        TeacherTrajectory({}, tuple({"at": torch.tensor([teacher, number])} for number in range(NUM_CHECKPOINTS)))
        for teacher in range(num_teachers)
    ]
    drawn = (draw_start_params(setting, teachers, step).get("at") for step in range(STEPS))
    return [(FRESH, FRESH) if at is None else (int(at[0]), int(at[1])) for at in drawn]


def share_fresh(drawn: list[tuple[int, int]]) -> float:
    return sum(teacher == FRESH for teacher, _ in drawn) / len(drawn)


@pytest.mark.parametrize("growth", [None, 0.0])
def test_lengths_are_drawn_from_the_whole_range_unless_they_grow(growth: float | None) -> None:
    setting = prepare(inner={"growth": growth})
    drawn = [draw_num_inner_steps(setting, step) for step in range(STEPS)]
    as_ever = [int(torch.randint(3, 7, (1,), generator=derive_generator(0, "num_inner_steps", step))) for step in range(STEPS)]
    assert drawn == as_ever
    assert all(0.15 < count / STEPS < 0.35 for count in Counter(drawn).values())


def test_the_longest_inner_loop_grows_evenly_and_lengths_stay_equally_likely_below_it() -> None:
    setting = prepare(inner={"num_steps": 23, "min_steps": 3, "growth": 0.5})
    longest = [longest_inner_loop(setting, step) for step in range(STEPS)]
    assert longest[0] == 3
    assert longest[100] == 13
    assert longest[198:201] == [22, 23, 23]
    assert longest == sorted(longest)
    drawn = [draw_num_inner_steps(setting, step) for step in range(STEPS)]
    assert all(3 <= length <= bound for length, bound in zip(drawn, longest, strict=True))
    places = [(length - 3) / (bound - 3) for length, bound in zip(drawn, longest, strict=True) if bound > 13]
    assert sum(places) / len(places) == pytest.approx(0.5, abs=0.06)
    assert max(drawn[:100]) <= 13 < max(drawn[100:200])


def test_mixed_starts_are_half_and_half_over_all_checkpoints_as_ever() -> None:
    drawn = draw_starts(prepare(outer={"start_params": "mixed"}), num_teachers=2)
    assert share_fresh(drawn) == pytest.approx(0.5, abs=0.08)
    counts = Counter(start for start in drawn if start != (FRESH, FRESH))
    assert len(counts) == 2 * NUM_CHECKPOINTS
    assert all(8 <= count <= 34 for count in counts.values())


def test_the_share_of_trajectory_starts_moves_from_its_first_to_its_last_value() -> None:
    setting = prepare(outer={"start_params": "mixed", "trajectory_share": [0.0, 1.0]})
    assert [trajectory_share(setting, step) for step in (0, STEPS - 1)] == [0.0, 1.0]
    drawn = draw_starts(setting)
    fresh = [share_fresh(drawn[at : at + 100]) for at in range(0, STEPS, 100)]
    assert fresh == pytest.approx([0.875, 0.625, 0.375, 0.125], abs=0.12)
    assert drawn[0] == (FRESH, FRESH)
    assert drawn[-1] != (FRESH, FRESH)


@pytest.mark.parametrize("kind", ["mixed", "trajectories"])
def test_early_checkpoints_come_first_and_later_ones_as_the_loop_goes_on(kind: str) -> None:
    drawn = draw_starts(prepare(outer={"start_params": kind, "trajectory_growth": 1.0}), num_teachers=2)
    assert share_fresh(drawn) == pytest.approx(0.5 if kind == "mixed" else 0.0, abs=0.08)
    quarters = [[number for _, number in drawn[at : at + 100] if number != FRESH] for at in range(0, STEPS, 100)]
    assert [max(quarter) for quarter in quarters] == [0, 1, 2, 3]
    assert set(quarters[3]) == {0, 1, 2, 3}
    means = [sum(quarter) / len(quarter) for quarter in quarters]
    assert means == pytest.approx([0.0, 0.5, 1.0, 1.5], abs=0.35)
    assert {teacher for teacher, number in drawn if number == 3} == {0, 1}


def test_all_checkpoints_are_equally_likely_once_growth_is_over() -> None:
    drawn = draw_starts(prepare(outer={"start_params": "trajectories", "trajectory_growth": 0.25}))
    counts = Counter(number for _, number in drawn[100:])
    assert set(counts) == set(range(NUM_CHECKPOINTS))
    assert all(0.12 < count / 300 < 0.28 for count in counts.values())


@pytest.mark.parametrize(
    "outer",
    [
        {"trajectory_share": [0.2, 0.8]},
        {"trajectory_share": [0.2, 0.8], "start_params": "trajectories"},
        {"trajectory_growth": 0.5},
    ],
)
def test_a_curriculum_of_checkpoints_that_are_never_drawn_is_refused(outer: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="was given, but start_params is"):
        tiny_spec(outer=outer)
