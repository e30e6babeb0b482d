"""All learned baselines that a spec asks for, one after the other, advanced step by step."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from farzi_core.comparison_plan import list_learned_baselines
from farzi_core.config import Baseline
from farzi_core.distillation.baselines.distribution_matching import DistributionMatching
from farzi_core.distillation.baselines.first_order import FirstOrder
from farzi_core.distillation.baselines.gradient_matching import GradientMatching
from farzi_core.distillation.baselines.learned import BaselineStep, LearnedBaseline, Objective, set_for_baselines
from farzi_core.distillation.baselines.trajectory_matching import TrajectoryMatching
from farzi_core.distillation.checkpoint import Checkpoint
from farzi_core.distillation.descent import Distilled
from farzi_core.distillation.setting import Setting
from farzi_core.distillation.teachers import TeacherTrajectory

OBJECTIVES: Mapping[Baseline, Callable[[Setting, Sequence[TeacherTrajectory]], Objective]] = {
    "gradient_matching": GradientMatching,
    "distribution_matching": DistributionMatching,
    "trajectory_matching": TrajectoryMatching,
    "first_order": FirstOrder,
}


class LearnedBaselines:
    """The learned baselines of a spec.

    Args:
        setting: data and student.
        teachers: trajectories, as the outer loop has them.
    """

    def __init__(self, setting: Setting, teachers: Sequence[TeacherTrajectory]) -> None:
        self._setting, self._teachers = set_for_baselines(setting), teachers
        self._names = list_learned_baselines(setting.spec)
        self._begun: dict[Baseline, LearnedBaseline] = {}
        self._seconds: dict[Baseline, float] = {}

    @property
    def current(self) -> Baseline | None:
        """The baseline whose turn it is; None when all are done."""
        return next((name for name in self._names if name not in self._begun or not self._begun[name].finished), None)

    @property
    def results(self) -> dict[Baseline, Distilled]:
        """The synthetic data of every finished baseline."""
        return {name: baseline.best for name, baseline in self._begun.items() if baseline.finished}

    @property
    def seconds(self) -> dict[Baseline, float]:
        """What each one took so far."""
        return dict(self._seconds)

    def advance(self) -> BaselineStep:
        """Take one outer step of the baseline whose turn it is."""
        name = self.current
        assert name is not None, "all baselines are done"
        started = time.perf_counter()
        baseline = self._begun.get(name) or self._begin(name)
        step = baseline.advance()
        self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - started
        return step

    def _begin(self, name: Baseline) -> LearnedBaseline:
        baseline = LearnedBaseline(self._setting, self._teachers, OBJECTIVES[name](self._setting, self._teachers))
        self._begun[name] = baseline
        return baseline

    def checkpoint(self) -> Checkpoint:
        """Return the state between two steps."""
        return Checkpoint.join({name: baseline.checkpoint() for name, baseline in self._begun.items()}, seconds=self._seconds)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a state that :meth:`checkpoint` returned."""
        for name in self._names:
            if checkpoint.has_part(name):
                self._begin(name).restore(checkpoint.part(name))
        self._seconds = dict(checkpoint.values["seconds"])
