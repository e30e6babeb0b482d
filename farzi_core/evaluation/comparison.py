"""The comparison a result is judged by: fresh random students on every side, under one protocol.

Every student architecture is trained on every side (``sides.py``). With its first seed each side tries every learning-rate
factor and validation chooses one, which the other seeds use; each training's step is chosen on validation. The test is looked
at once per finished training.

Work is cut into trainings, which advance step by step and can be resumed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from farzi_core.comparison_plan import TrainingKey, list_trainings
from farzi_core.config import Architecture, Baseline
from farzi_core.distillation.checkpoint import Checkpoint
from farzi_core.distillation.descent import Distilled
from farzi_core.distillation.setting import Setting
from farzi_core.evaluation.metrics import Scores, load_scores
from farzi_core.evaluation.sides import Sides, SideSize
from farzi_core.evaluation.training import Look, StudentTraining, TrainingStep


@dataclass(frozen=True)
class Outcome:
    """One finished training.

    Attributes:
        key: which one.
        lr_factor: used.
        validation: best validation value.
        best_step: step it was reached at.
        train_s: seconds of training to that step, looks at validation not counted.
        looks: every look at validation.
        scores: test values of the best step.
    """

    key: TrainingKey
    lr_factor: float
    validation: float
    best_step: int
    train_s: float
    looks: tuple[Look, ...]
    scores: Scores


@dataclass(frozen=True)
class Cell:
    """All seeds of one side, at the chosen learning rate."""

    side: str
    lr: float
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True)
class ComparisonStep:
    """One step of one of the trainings."""

    key: TrainingKey
    training: TrainingStep
    finished: bool


class Comparison:
    """Every training of the comparison, advanced step by step.

    Args:
        setting: data and student.
        distilled: what is judged.
        learned: synthetic data of the learned baselines that the spec names.
    """

    def __init__(self, setting: Setting, distilled: Distilled, learned: Mapping[Baseline, Distilled] | None = None) -> None:
        self._setting = setting
        self._sides = Sides(setting, distilled, learned or {})
        self._keys = list_trainings(setting.spec)
        self._outcomes: list[Outcome] = []
        self._current: StudentTraining | None = None
        self._test = setting.test_cases()

    @property
    def finished(self) -> bool:
        return len(self._outcomes) == len(self._keys)

    def advance(self) -> ComparisonStep:
        """Take one step of the training whose turn it is; a finished one is measured on the test cases."""
        key = self._keys[len(self._outcomes)]
        training = self._current or self._begin(key)
        self._current = training
        step = training.advance()
        if training.finished:
            self._outcomes.append(self._measure(key, training))
            self._current = None
        return ComparisonStep(key, step, training.finished)

    def cells(self, architecture: Architecture) -> dict[str, Cell]:
        """Return the finished sides of one architecture by name."""
        sides: dict[str, Cell] = {}
        for side in dict.fromkeys(key.side for key in self._keys if key.architecture == architecture):
            factor = self._chosen_factor(architecture, side)
            outcomes = [o for o in self._outcomes if (o.key.architecture, o.key.side) == (architecture, side)]
            kept = tuple(outcome for outcome in outcomes if outcome.lr_factor == factor)
            sides[side] = Cell(side, self._sides.base_lr(side) * factor, kept)
        return sides

    def sizes(self) -> dict[str, SideSize]:
        """Return how much each side holds."""
        return {side: self._sides.size(side) for side in dict.fromkeys(key.side for key in self._keys)}

    @property
    def architectures(self) -> tuple[Architecture, ...]:
        """Architectures judged, in order."""
        return tuple(dict.fromkeys(key.architecture for key in self._keys))

    def _begin(self, key: TrainingKey) -> StudentTraining:
        spec = self._setting.spec
        return StudentTraining(
            self._setting.build_student(key.architecture),
            self._sides.data(key.side),
            self._setting.validation,
            self._sides.plan(key.side, self._factor(key)),
            seed=spec.seed,
            # Learning rates of one seed share start and batches: what is compared is the rate alone.
            purpose=("evaluation", key.architecture, key.side, key.seed),
            dtype=self._setting.dtype,
            device=self._setting.device,
        )

    def _measure(self, key: TrainingKey, training: StudentTraining) -> Outcome:
        assert training.best_value is not None
        return Outcome(
            key,
            self._factor(key),
            training.best_value,
            training.best_step,
            training.train_s_to_best,
            tuple(training.looks),
            self._test.measure(training.student, training.best_params),
        )

    def _factor(self, key: TrainingKey) -> float:
        return self._chosen_factor(key.architecture, key.side) if key.lr_factor is None else key.lr_factor

    def _chosen_factor(self, architecture: str, side: str) -> float:
        tried = [o for o in self._outcomes if (o.key.architecture, o.key.side, o.key.seed) == (architecture, side, 0)]
        best = tried[0]
        plan = self._sides.plan(side, best.lr_factor)
        for outcome in tried[1:]:
            if plan.is_better(outcome.validation, best.validation):
                best = outcome
        return best.lr_factor

    def checkpoint(self) -> Checkpoint:
        """Return the state between two steps."""
        parts = {outcome.key.name: outcome.scores.checkpoint() for outcome in self._outcomes}
        if self._current is not None:
            parts["current"] = self._current.checkpoint()
        return Checkpoint.join(parts, outcomes=[_describe(outcome) for outcome in self._outcomes])

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a state that :meth:`checkpoint` returned."""
        self._outcomes = []
        for values in checkpoint.values["outcomes"]:
            key = self._keys[len(self._outcomes)]
            looks = tuple(Look(*look) for look in values["looks"])
            self._outcomes.append(Outcome(key, **{**values, "looks": looks}, scores=load_scores(checkpoint.part(key.name))))
        if checkpoint.has_part("current"):
            self._current = self._begin(self._keys[len(self._outcomes)])
            self._current.restore(checkpoint.part("current"))


def _describe(outcome: Outcome) -> dict[str, Any]:
    names = ("lr_factor", "validation", "best_step", "train_s")
    return {**{name: getattr(outcome, name) for name in names}, "looks": [list(look) for look in outcome.looks]}
