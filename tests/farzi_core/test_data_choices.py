from __future__ import annotations

from typing import Any

import pytest

from farzi_core.config import DataSummary, DistillationSpec, PresetName, Task
from farzi_core.data_choices import fill_in, inner_steps
from farzi_core.presets import PRESET_NAMES, get_preset, resolve_spec

ML_100K = DataSummary("sequential_recommendation", 943, 100_000, 1682, 737)


def chosen(spec: DistillationSpec, data: DataSummary) -> tuple[str | None, int | None]:
    filled = fill_in(spec, data)
    assert fill_in(filled, data) == filled
    return filled.synthetic.inputs, filled.teacher.num_trajectories


def standard(task: Task = "sequential_recommendation", **overrides: Any) -> DistillationSpec:
    return resolve_spec(task, {"preset": "standard", **overrides})


@pytest.mark.parametrize("name", PRESET_NAMES)
@pytest.mark.parametrize(
    ("num_sequences", "num_events", "vocab_size", "expected"),
    [
        (943, 100_000, 1682, ("sampled_events", 3)),
        (2000, 12_000, 3000, ("sampled_events", 3)),
        (4000, 330_000, 257, ("sampled_events", 3)),
        (4000, 330_000, 256, ("soft_tokens", 1)),
        (4000, 12_000, 104, ("soft_tokens", 1)),
    ],
)
def test_interactions_show_events_unless_there_are_few_different_ones(
    name: PresetName, num_sequences: int, num_events: int, vocab_size: int, expected: tuple[str, int]
) -> None:
    data = DataSummary("sequential_recommendation", num_sequences, num_events, vocab_size, 500)
    assert chosen(get_preset("sequential_recommendation", name), data) == expected


@pytest.mark.parametrize("name", PRESET_NAMES)
@pytest.mark.parametrize("vocab_size", [60, 500, 10_000])
def test_texts_show_events(name: PresetName, vocab_size: int) -> None:
    text = DataSummary("language_modeling", 40_000, 900_000, vocab_size, 80)
    assert chosen(get_preset("language_modeling", name), text) == ("sampled_events", 1)


@pytest.mark.parametrize(
    ("num_sequences", "num_events", "longest", "length"),
    [
        (943, 100_000, 735, 50),
        (3092, 12_689, 53, 20),
        (6040, 51_505, 37, 21),
        (1000, 15_000, 200, 37),
        (100, 220, 3, 3),
        (100, 100, 2, 2),
        (0, 0, 0, 2),
    ],
)
def test_an_open_length_follows_the_mean_history(num_sequences: int, num_events: int, longest: int, length: int) -> None:
    data = DataSummary("sequential_recommendation", num_sequences, num_events, 1000, longest + 2, longest)
    assert fill_in(standard(), data).synthetic.sequence_length == length
    assert fill_in(standard(synthetic={"sequence_length": 33}), data).synthetic.sequence_length == 33


def test_an_open_length_is_never_above_what_a_student_reads() -> None:
    assert fill_in(standard(student={"max_length": 30}), ML_100K).synthetic.sequence_length == 30


@pytest.mark.parametrize(("num_train_events", "length"), [(None, 50), (900_000, 50), (44, 44)])
def test_an_open_length_of_a_text_is_fifty(num_train_events: int | None, length: int) -> None:
    text = DataSummary("language_modeling", 20_000, 60_000, 2000, 4, num_train_events)
    assert fill_in(standard("language_modeling"), text).synthetic.sequence_length == length


def test_a_start_from_predictions_takes_few_and_small_outer_steps() -> None:
    assert (outer := fill_in(standard(), ML_100K).outer).num_steps == 180
    assert outer.lr == 0.005
    assert fill_in(standard(outer={"pool_size": 0}), ML_100K).outer.num_steps == 90
    soft = fill_in(standard(synthetic={"inputs": "soft_tokens"}), ML_100K).outer
    assert (soft.num_steps, soft.lr) == (450, 0.02)
    given = fill_in(standard(outer={"num_steps": 7, "lr": 0.5}), ML_100K).outer
    assert (given.num_steps, given.lr) == (7, 0.5)


@pytest.mark.parametrize(
    ("synthetic", "pool", "expected"),
    [
        ({}, {}, (60, 0.02)),
        ({}, {"pool_size": 0}, (30, 0.02)),
        ({"inputs": "soft_tokens"}, {}, (160, 0.05)),
    ],
)
def test_quick_takes_fewer_and_larger_outer_steps(
    synthetic: dict[str, str], pool: dict[str, int], expected: tuple[int, float]
) -> None:
    outer = fill_in(standard(preset="quick", synthetic=synthetic, outer=pool), ML_100K).outer
    assert (outer.num_steps, outer.lr) == expected


@pytest.mark.parametrize(
    ("inputs", "given", "expected"),
    [
        ("sampled_events", {}, (8, 1000)),
        ("sampled_events", {"pool_size": 0}, (0, None)),
        ("sampled_events", {"pool_size": 3, "pool_max_steps": 50}, (3, 50)),
        ("soft_tokens", {}, (0, None)),
        ("soft_tokens", {"pool_size": 2}, (2, 1000)),
    ],
)
def test_students_of_events_go_on_in_a_pool(inputs: str, given: dict[str, int], expected: tuple[int, int | None]) -> None:
    filled = fill_in(standard(synthetic={"inputs": inputs}, outer=given), ML_100K)
    assert (filled.outer.pool_size, filled.outer.pool_max_steps) == expected
    without = (120, 600) if inputs == "sampled_events" else (30, 120)
    assert inner_steps(filled) == ((40, 80) if expected[0] > 0 else without)
    assert (filled.inner.min_steps, filled.inner.num_steps) == inner_steps(filled)


@pytest.mark.parametrize(
    ("inputs", "num_sequences", "expected"),
    [("sampled_events", 20, (1000, 600)), ("sampled_events", 200, (4000, 2400)), ("soft_tokens", 200, (1000, 120))],
)
def test_more_sequences_take_more_steps_where_each_is_on_ten(
    inputs: str, num_sequences: int, expected: tuple[int, int]
) -> None:
    synthetic = {"inputs": inputs, "num_sequences": num_sequences}
    outer = fill_in(standard(synthetic=synthetic, outer={"pool_size": 2}, inner={"num_steps": 120}), ML_100K).outer
    assert (outer.pool_max_steps, outer.validation_steps) == expected


def test_students_of_a_validation_train_as_long_as_judged_ones_need() -> None:
    assert fill_in(standard(), ML_100K).outer.validation_steps == 600
    longer = standard(inner={"num_steps": 700})
    assert fill_in(longer, ML_100K).outer.validation_steps == 700
    soft = standard(synthetic={"inputs": "soft_tokens"})
    assert fill_in(soft, ML_100K).outer.validation_steps == 120
    given = standard(outer={"validation_steps": 33})
    assert fill_in(given, ML_100K).outer.validation_steps == 33


@pytest.mark.parametrize(
    ("inputs", "given", "expected"),
    [
        ("soft_tokens", {}, (30, 120)),
        ("sampled_events", {"num_steps": 50}, (40, 50)),
        ("sampled_events", {"num_steps": 20}, (20, 20)),
        ("soft_tokens", {"num_steps": 10}, (10, 10)),
        ("soft_tokens", {"min_steps": 200}, (200, 200)),
        ("sampled_events", {"min_steps": 7, "num_steps": 9}, (7, 9)),
    ],
)
def test_inner_loops_are_as_long_as_students_learn(inputs: str, given: dict[str, int], expected: tuple[int, int]) -> None:
    filled = fill_in(standard(synthetic={"inputs": inputs}, inner=given), ML_100K)
    assert (filled.inner.min_steps, filled.inner.num_steps) == expected
    assert inner_steps(filled) == expected


def test_what_a_spec_says_stays() -> None:
    assert chosen(standard(synthetic={"inputs": "soft_tokens"}), ML_100K) == ("soft_tokens", 1)
    assert chosen(standard(teacher={"num_trajectories": 2}), ML_100K) == ("sampled_events", 2)
    assert chosen(standard(synthetic={"inputs": "soft_tokens"}, teacher={"num_trajectories": 5}), ML_100K) == ("soft_tokens", 5)


@pytest.mark.parametrize("init", ["real", "random"])
def test_events_are_chosen_only_where_teachers_give_the_start(init: str) -> None:
    assert chosen(standard(synthetic={"init": init}), ML_100K) == ("soft_tokens", 1)
