from __future__ import annotations

import pytest

from farzi_core.comparison_plan import choose_headline, list_sides, max_training_steps
from farzi_core.presets import resolve_spec
from tests.farzi_core.markov import tiny_spec


@pytest.mark.parametrize(
    ("students", "headline"),
    [(None, "sasrec"), (["gru4rec", "sasrec"], "sasrec"), (["narm", "gru4rec"], "narm")],
)
def test_the_headline_is_of_the_student_that_distilled_where_it_is_judged(students: list[str] | None, headline: str) -> None:
    assert choose_headline(tiny_spec(evaluation={"students": students})) == headline


def test_only_soft_tokens_behind_events_are_trained_on_for_longer() -> None:
    def longest(inputs: str, num_sequences: int = 50, **evaluation: object) -> dict[str, int]:
        synthetic = {"inputs": inputs, "num_sequences": num_sequences}
        fields = {"synthetic": synthetic, "evaluation": {"baselines": ["random", "first_order"], **evaluation}}
        spec = resolve_spec("sequential_recommendation", fields)
        return {side: max_training_steps(side, spec) for side in list_sides(spec)}

    sides = {"full_data": 1600, "distilled": 400, "hard": 400, "hard_1": 400, "random": 400, "first_order": 400}
    assert longest("soft_tokens") == longest("soft_tokens", 200) == sides
    assert longest("sampled_events") == {**sides, "distilled": 1600, "first_order": 1600}
    assert longest("sampled_events", 20)["distilled"] == 1600
    assert longest("sampled_events", 200)["distilled"] == 6400
    assert longest("sampled_events", max_steps=50) == {**dict.fromkeys(sides, 50), "full_data": 1600}
