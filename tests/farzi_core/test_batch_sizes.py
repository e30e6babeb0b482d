from __future__ import annotations

from typing import Any

import pytest

from farzi_core.batch_sizes import divide_batches, synthetic_batch_size
from farzi_core.comparison_plan import MAX_HARD_BATCH, hard_batch_size
from farzi_core.config import DistillationSpec
from farzi_core.presets import resolve_spec


def spec_of(inputs: str | None, num_sequences: int, batch_size: int | None = None) -> DistillationSpec:
    fields: dict[str, Any] = {
        "synthetic": {"inputs": inputs, "num_sequences": num_sequences},
        "inner": {"batch_size": batch_size},
    }
    return resolve_spec("sequential_recommendation", fields)


@pytest.mark.parametrize(("num_sequences", "expected"), [(2, 2), (10, 10), (20, 10), (50, 10), (400, 10)])
def test_behind_events_a_step_sees_ten_sequences(num_sequences: int, expected: int) -> None:
    assert synthetic_batch_size(spec_of("sampled_events", num_sequences)) == expected
    assert synthetic_batch_size(spec_of("soft_tokens", num_sequences)) == num_sequences
    assert synthetic_batch_size(spec_of(None, num_sequences)) == num_sequences


def test_a_batch_size_that_was_given_stays() -> None:
    for inputs in ("sampled_events", "soft_tokens"):
        assert synthetic_batch_size(spec_of(inputs, 50, 7)) == 7
        assert hard_batch_size(200, spec_of(inputs, 50, 7)) == 7


def test_hard_sequences_go_by_their_own_number() -> None:
    assert hard_batch_size(20, spec_of("sampled_events", 10)) == 20
    assert hard_batch_size(200, spec_of("sampled_events", 50)) == MAX_HARD_BATCH


def test_what_is_divided_is_the_batch_that_would_be_taken() -> None:
    assert divide_batches(spec_of("sampled_events", 50), 2).inner.batch_size == 5
    assert divide_batches(spec_of("soft_tokens", 50), 2).inner.batch_size == 25
