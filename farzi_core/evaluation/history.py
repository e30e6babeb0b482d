"""What was measured while an outer loop went on, and the section of ``report.json`` that tells of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from farzi_core.distillation.course import Course, describe_ending
from farzi_core.evaluation.figures import Series
from farzi_core.evaluation.metrics import LOWER_IS_BETTER


@dataclass(frozen=True)
class History:
    """What was measured on the way, as series over steps; empty where nothing was distilled."""

    outer_loss: Series = field(default_factory=Series)
    meta_gradient_norm: Series = field(default_factory=Series)
    validation: Series = field(default_factory=Series)
    teacher_validation: Series = field(default_factory=Series)


def describe_outer_loop(course: Course, history: History, metric: str) -> dict[str, Any]:
    """Return how an outer loop went: steps, why it ended, validations of what it began with and what it keeps, and curves.

    Args:
        course: of a loop that is over.
        history: its curves, and the validations of the first teacher.
        metric: name of the validation metric.
    """
    return {
        "steps": course.steps,
        "planned_steps": course.planned_steps,
        "best_step": course.best_step,
        "ended_by": course.ended_by,
        "message": describe_ending(course),
        "metric": metric,
        "validation": {
            "start": course.start_validation,
            "best": course.best_validation,
            "full_data_teacher": best_of(history.teacher_validation, metric),
        },
        "curves": {
            "outer_loss": asdict(history.outer_loss),
            "meta_gradient_norm": asdict(history.meta_gradient_norm),
            "validation": asdict(history.validation),
        },
    }


def best_of(series: Series, metric: str) -> float | None:
    """Return the best value of a metric; None where there is none."""
    if not series.values:
        return None
    return min(series.values) if metric in LOWER_IS_BETTER else max(series.values)
