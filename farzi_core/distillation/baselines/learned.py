"""A baseline that learns synthetic data: the outer loop with another objective in the place of the meta-gradient.

Start, form, outer optimiser, cosine, clipping, moving average, validation and choice of the best are those of the outer
loop, so that only the objective is compared. A baseline advances step by step and can be stopped and resumed.

Shape letters: S synthetic sequences, L length, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from torch import Tensor

from farzi_core.distillation.descent import DescentLoop, SyntheticDescent
from farzi_core.distillation.outer_point import OuterPoint
from farzi_core.distillation.setting import Setting
from farzi_core.distillation.start import make_start
from farzi_core.distillation.student_pool import StudentPool
from farzi_core.distillation.teachers import TeacherTrajectory
from farzi_core.errors import NumericalError


@dataclass(frozen=True)
class ObjectiveValue:
    """An objective at one outer step.

    Attributes:
        loss: its value.
        adj_probabilities: its derivative (S, L, V) with respect to the soft tokens.
        adj_lr: its derivative with respect to the inner learning rate; None where it has none.
    """

    loss: float
    adj_probabilities: Tensor
    adj_lr: Tensor | None = None


class Objective(Protocol):
    """What a baseline minimises; a function of the synthetic data and the pool, with randomness from the step alone."""

    @property
    def has_lr_gradient(self) -> bool:
        """Whether values have an ``adj_lr``."""
        ...

    @property
    def pool(self) -> StudentPool | None:
        """Students that its inner loops go on with; None where it has no inner loop."""
        ...

    def evaluate(self, point: OuterPoint) -> ObjectiveValue:
        """Return value and gradient."""
        ...


@dataclass(frozen=True)
class BaselineStep:
    """One outer step of a baseline.

    Attributes:
        step: from 1.
        loss: of its objective.
        gradient_norm: before clipping.
        validation: metric of a fresh student trained on the averaged data, when this step was validated.
        best: whether that is the best so far.
    """

    step: int
    loss: float
    gradient_norm: float
    validation: float | None = None
    best: bool = False


def set_for_baselines(setting: Setting) -> Setting:
    """Return the setting of learned baselines: outer steps and learning rate are those of ``baseline`` where it has any."""
    spec, wanted = setting.spec, setting.spec.baseline
    update = {"num_steps": wanted.num_steps or spec.outer.num_steps, "lr": wanted.lr or spec.outer.lr}
    return replace(setting, spec=spec.model_copy(update={"outer": spec.outer.model_copy(update=update)}))


class LearnedBaseline(DescentLoop):
    """One baseline, advanced step by step.

    Args:
        setting: data and student, from :func:`set_for_baselines`.
        teachers: trajectories; the first gives the start its space.
        objective: what is minimised.

    Raises:
        ConfigError: the start needs a teacher, and there is none.
    """

    def __init__(self, setting: Setting, teachers: Sequence[TeacherTrajectory], objective: Objective) -> None:
        self._objective = objective
        learn_lr = setting.spec.inner.learn_lr and objective.has_lr_gradient
        super().__init__(SyntheticDescent(setting, make_start(setting, teachers), learn_lr=learn_lr), objective.pool)

    def advance(self) -> BaselineStep:
        """Take one outer step, and validate when it is time.

        Raises:
            NumericalError: the objective or a gradient is not finite.
        """
        assert not self.finished
        result = self._take_step()
        validation = self._descent.validate()
        return result if validation is None else replace(result, validation=validation.value, best=validation.best)

    def _take_step(self) -> BaselineStep:
        """Take one outer step; its tensors of S L V numbers end with it, before a validation makes its own."""
        descent = self._descent
        soft_tokens = descent.soften()
        value = self._objective.evaluate(descent.point(soft_tokens))
        if not abs(value.loss) < float("inf"):
            raise NumericalError(
                f"the objective is {value.loss} at outer step {descent.step + 1}; lower inner.lr or baseline.lr",
                step=descent.step + 1,
                tensor="loss",
            )
        norm = descent.move(soft_tokens, value.adj_probabilities, value.adj_lr)
        return BaselineStep(descent.step, value.loss, norm)
