"""How far a loop over synthetic data has come, what it keeps and why it ended; in figures, and in a sentence for people.

Knows nothing of how the data move. Imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EndedBy = Literal["all_steps", "patience"]


@dataclass(frozen=True)
class Course:
    """The course of a loop so far.

    Attributes:
        steps: taken.
        planned_steps: as many as it takes unless patience runs out.
        best_step: whose average is kept; 0: the start is.
        start_validation: metric of a fresh student trained on the start; None before it is measured.
        best_validation: of what is kept.
        ended_by: why it is over; None while it goes on.
    """

    steps: int
    planned_steps: int
    best_step: int
    start_validation: float | None
    best_validation: float | None
    ended_by: EndedBy | None


def describe_ending(course: Course) -> str:
    """Return how a loop that is over ended and what it keeps, in plain words."""
    if course.ended_by == "patience":
        ended = f"The outer loop stopped after {course.steps} of {course.planned_steps} steps: patience ran out"
    else:
        ended = f"The outer loop took all of its {course.planned_steps} steps"
    if course.best_step == 0:
        return f"{ended}. No validation was better than that of the start, so the result is the start itself."
    return f"{ended}. The result is what it had at step {course.best_step}, which was best on validation."
