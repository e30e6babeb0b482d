from __future__ import annotations

from typing import Any

import pytest

from farzi_core.distillation import validation
from farzi_core.distillation.random_reference import measure_random_sequences
from farzi_core.distillation.setting import prepare_setting
from farzi_core.evaluation.training import StudentTraining
from tests.farzi_core.markov import interactions, tiny_spec


@pytest.mark.parametrize(
    ("spec", "num_steps"),
    [
        (tiny_spec(), 6),
        (tiny_spec(outer={"validation_steps": 11}), 11),
        (tiny_spec(synthetic={"inputs": "sampled_events"}), 600),
    ],
)
def test_a_fresh_student_trains_for_the_steps_of_a_validation(
    spec: Any, num_steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []

    class Counted(StudentTraining):
        def advance(self) -> Any:
            step = super().advance()
            steps.append(step.step)
            return step

    monkeypatch.setattr(validation, "StudentTraining", Counted)
    measure_random_sequences(prepare_setting(interactions(), spec))
    assert steps == list(range(1, num_steps + 1))
