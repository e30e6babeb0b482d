"""How to train on a result, by what the judged students did: on its soft tokens, and on the published hard sequences.

Learning rate and steps are those that validation chose for the student of the headline, whose name the advice has; no test
figure enters. Knows nothing of files.
"""

from __future__ import annotations

from statistics import median
from typing import Any

from farzi_core.batch_sizes import synthetic_batch_size
from farzi_core.comparison_plan import (
    DISTILLED,
    HARD,
    choose_headline,
    hard_batch_size,
    list_hard_draws,
    num_training_sequences,
)
from farzi_core.config import PUBLISHED_DRAWS
from farzi_core.distillation.descent import Distilled
from farzi_core.distillation.setting import Setting
from farzi_core.evaluation.comparison import Cell, Comparison

HARD_SEQUENCES = "hard_sequences"

Advice = dict[str, Any]


def advise(setting: Setting, comparison: Comparison, distilled: Distilled) -> Advice:
    """Return the advice, JSON values.

    Args:
        setting: data and student.
        comparison: finished.
        distilled: what was judged.

    Returns:
        ``student`` and, for soft tokens, ``optimizer``, ``lr``, ``betas``, ``eps``, ``eps_root``, ``dropout``, ``batch_size``
        and ``num_steps``; ``inner_lr``; under ``hard_sequences`` the same for hard ones, with the number of ``draws`` it was
        measured with: the published number where the comparison had it.
    """
    spec = setting.spec
    student = choose_headline(spec)
    cells = comparison.cells(student)
    side = _choose_hard_side(setting)
    batch_size = hard_batch_size(num_training_sequences(side, spec), spec)
    return {
        "student": student,
        **_describe(setting, cells[DISTILLED], synthetic_batch_size(spec)),
        "inner_lr": distilled.inner_lr,
        HARD_SEQUENCES: {"draws": list_hard_draws(spec)[side], **_describe(setting, cells[side], batch_size)},
    }


def _choose_hard_side(setting: Setting) -> str:
    drawn = {draws: side for side, draws in list_hard_draws(setting.spec).items()}
    return drawn.get(PUBLISHED_DRAWS, HARD)


def _describe(setting: Setting, cell: Cell, batch_size: int) -> Advice:
    adam = setting.inner_adam(cell.lr)
    return {
        "optimizer": "adam",
        "lr": cell.lr,
        "betas": list(adam.betas),
        "eps": adam.eps,
        "eps_root": adam.eps_root,
        "dropout": setting.spec.student.dropout,
        "batch_size": batch_size,
        "num_steps": round(median(outcome.best_step for outcome in cell.outcomes)),
    }
