from __future__ import annotations

from typing import Any

from farzi_core.config import DataSummary
from farzi_core.footprint import estimate_distillation_bytes, estimate_memory_bytes
from farzi_core.presets import resolve_spec

DATA = DataSummary("sequential_recommendation", 1000, 100_000, 500, 200)


def memory(**overrides: Any) -> int:
    return estimate_memory_bytes(resolve_spec("sequential_recommendation", overrides), DATA)


def test_checkpoints_of_teachers_take_memory_where_they_are_kept() -> None:
    few, many = ({"num_checkpoints": number, "num_trajectories": 2} for number in (20, 120))
    assert memory(teacher=few) == memory(teacher=many), "nobody starts from them"
    mixed = {"start_params": "mixed"}
    kept = memory(teacher=many, outer=mixed) - memory(teacher=few, outer=mixed)
    assert kept > 2 * 100 * 4 * DATA.vocab_size * 32


def test_students_of_a_pool_take_memory() -> None:
    params = 4 * DATA.vocab_size * 32
    assert 100 * params < memory(outer={"pool_size": 108}) - memory(outer={"pool_size": 8}) < 300 * params
    assert memory(synthetic={"inputs": "sampled_events"}) - memory(outer={"pool_size": 0}) > 8 * params


def test_prepared_draws_are_counted_where_teachers_have_a_say() -> None:
    def size(**hard_sequences: Any) -> int:
        spec = resolve_spec("sequential_recommendation", {"hard_sequences": hard_sequences})
        return estimate_distillation_bytes(spec, DATA)

    assert size(rule=[0, 2]) - size(rule=[1, 0]) == 16 * 50 * 50 * 4
    assert size(prepared_draws=20) - size() == 4 * 50 * 50 * 4


def test_the_curves_of_the_outer_loop_are_counted() -> None:
    def size(num_steps: int) -> int:
        spec = resolve_spec("sequential_recommendation", {"outer": {"num_steps": num_steps}})
        return estimate_distillation_bytes(spec, DATA)

    assert size(2000) - size(1000) == 100_000
