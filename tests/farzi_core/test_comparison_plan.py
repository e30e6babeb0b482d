from __future__ import annotations

import pytest

from farzi_core.comparison_plan import choose_headline
from tests.farzi_core.markov import tiny_spec


@pytest.mark.parametrize(
    ("students", "headline"),
    [(None, "sasrec"), (["gru4rec", "sasrec"], "sasrec"), (["narm", "gru4rec"], "narm")],
)
def test_the_headline_is_of_the_student_that_distilled_where_it_is_judged(students: list[str] | None, headline: str) -> None:
    assert choose_headline(tiny_spec(evaluation={"students": students})) == headline
