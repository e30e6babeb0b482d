"""What a reader of a ratio has to know before believing it: sides that were not trained to the end, a test unlike validation.

A ratio to full data flatters where the students of full data would have gone on improving, and a choice made on validation
says little where held-out data of the test are of another kind. Both can be seen in the comparison itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from farzi_core.comparison_plan import DISTILLED, FULL_DATA, max_training_steps
from farzi_core.config import Architecture
from farzi_core.distillation.setting import Setting
from farzi_core.evaluation.comparison import Cell
from farzi_core.evaluation.metrics import is_better

# A best look in the last tenth of the longest training is one that patience did not end: more steps may be better.
_LATE_SHARE = 0.9


@dataclass(frozen=True)
class Caution:
    """One thing to know about a student's ratio.

    Attributes:
        code: ``full_data_still_improving``, ``summary_still_improving`` or ``test_worse_than_validation``.
        student: architecture that it is about.
        message: what was seen, what it means, what to change.
    """

    code: str
    student: Architecture
    message: str


def find_cautions(
    setting: Setting, student: Architecture, cells: Mapping[str, Cell], ratio: Mapping[str, float] | None
) -> list[Caution]:
    """Return what has to be known about one student's ratio of the summary to full data.

    Args:
        setting: data and spec.
        student: architecture that the cells are of.
        cells: finished sides by name, full data and the summary among them.
        ratio: ``mean``, ``low`` and ``high`` of the validation metric's ratio on the test; None: full data's figure is 0.
    """
    found = []
    if _was_cut_short(setting, cells[FULL_DATA]):
        found.append(
            Caution(
                "full_data_still_improving",
                student,
                f"Students of the full data were best after {_list_steps(cells[FULL_DATA])} of at most "
                f"{max_training_steps(FULL_DATA, setting.spec)} steps, so they were probably still improving and the ratio "
                "flatters the summary; raise teacher.num_steps.",
            )
        )
    if _was_cut_short(setting, cells[DISTILLED]):
        found.append(
            Caution(
                "summary_still_improving",
                student,
                f"Students of the summary were best after {_list_steps(cells[DISTILLED])} of at most "
                f"{max_training_steps(DISTILLED, setting.spec)} steps, so the summary may be worth more than the ratio says; "
                "raise evaluation.max_steps.",
            )
        )
    validation = _ratio_on_validation(cells)
    if ratio is not None and validation is not None and _is_beyond(setting, validation, ratio):
        found.append(
            Caution(
                "test_worse_than_validation",
                student,
                f"On validation the summary has {validation:.3f} of full data's {setting.metric}, on the test "
                f"{ratio['mean']:.3f} ({ratio['low']:.3f} to {ratio['high']:.3f}): the test's events differ in kind from those "
                "of validation, or the summary was fitted to the latter. The test is what counts.",
            )
        )
    return found


def is_still_improving(best_steps: Sequence[int], longest: int) -> bool:
    """Return whether most students were best so near the longest training that more steps would probably help."""
    return median(best_steps) > _LATE_SHARE * longest


def _was_cut_short(setting: Setting, cell: Cell) -> bool:
    return is_still_improving(_steps(cell), max_training_steps(cell.side, setting.spec))


def _steps(cell: Cell) -> list[int]:
    return [outcome.best_step for outcome in cell.outcomes]


def _list_steps(cell: Cell) -> str:
    return ", ".join(str(step) for step in _steps(cell))


def _ratio_on_validation(cells: Mapping[str, Cell]) -> float | None:
    distilled, full_data = (fmean(o.validation for o in cells[side].outcomes) for side in (DISTILLED, FULL_DATA))
    return distilled / full_data if full_data > 0 else None


def _is_beyond(setting: Setting, validation: float, ratio: Mapping[str, float]) -> bool:
    """Return whether validation promises more than the better end of the test's interval."""
    ends = (ratio["low"], ratio["high"])
    return all(is_better(validation, end, setting.metric) for end in ends)
