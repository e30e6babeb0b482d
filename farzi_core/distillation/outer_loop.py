"""The outer loop: synthetic data that trains fresh students well, found along the meta-gradient.

One outer step: draw a length T and a student, train it on the soft tokens for T steps, take its loss on real data, pull it
back through the last steps to the soft tokens and once from those to latents and decoder, clip, take an Adam step. What makes
it converge, each piece from measurement:

- the inner loop's length varies, and it may go on with students of a pool (``student_pool.py``), so that the data serve short
  and long trainings alike;
- only the last steps are differentiated: through longer windows the gradient is chaotic, and how long they can be depends on
  how smooth the inner optimiser is (``inner.eps_root``);
- how the data then move, and which of them are kept: ``descent.py``.

Shape letters: S synthetic sequences, L length, V vocabulary, T inner steps.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from farzi_core.distillation.checkpoint import Checkpoint
from farzi_core.distillation.descent import DescentLoop, Distilled, SyntheticDescent
from farzi_core.distillation.draws import (
    PROBABILITIES,
    draw_num_inner_steps,
    draw_real_batch,
    make_inner_loss,
)
from farzi_core.distillation.outer_point import OuterPoint
from farzi_core.distillation.setting import Setting
from farzi_core.distillation.start import make_start
from farzi_core.distillation.student_pool import StudentPool
from farzi_core.distillation.teachers import TeacherTrajectory
from farzi_core.metagrad import MetaGradient, compute_meta_gradient
from farzi_core.students import Params, next_event_loss


@dataclass(frozen=True)
class OuterStep:
    """One outer step.

    Attributes:
        step: from 1.
        outer_loss: real loss of the trained student, in nats per event.
        meta_gradient_norm: before clipping.
        num_inner_steps: T of this step.
        entropy: mean over soft tokens before the step, in nats.
        inner_lr: inner learning rate before the step.
        validation: metric of a fresh student trained on the averaged data, when this step was validated.
        best: whether that is the best so far.
    """

    step: int
    outer_loss: float
    meta_gradient_norm: float
    num_inner_steps: int
    entropy: float
    inner_lr: float
    validation: float | None = None
    best: bool = False


class OuterLoop(DescentLoop):
    """The outer loop, advanced step by step.

    Args:
        setting: data and student.
        teachers: trajectories; the first gives the start its space, all give start parameters where the spec asks.
    """

    def __init__(self, setting: Setting, teachers: Sequence[TeacherTrajectory]) -> None:
        self._setting, self._students = setting, StudentPool(setting, teachers)
        start = make_start(setting, teachers)
        super().__init__(SyntheticDescent(setting, start, learn_lr=setting.spec.inner.learn_lr), self._students)

    def advance(self) -> OuterStep:
        """Take one outer step, and validate when it is time.

        Raises:
            NumericalError: a loss or a gradient is not finite.
        """
        assert not self.finished
        result = self._take_step()
        validation = self._descent.validate()
        return result if validation is None else replace(result, validation=validation.value, best=validation.best)

    def _take_step(self) -> OuterStep:
        """Take one outer step; its tensors of S L V numbers end with it, before a validation makes its own."""
        current = self._descent.current
        entropy = float(current.synthetic.entropy().mean())
        num_inner_steps = draw_num_inner_steps(self._setting, self.step)
        soft_tokens = self._descent.soften()
        meta = self._meta_gradient(self._descent.point(soft_tokens), num_inner_steps)
        norm = self._descent.move(soft_tokens, meta.synthetic[PROBABILITIES], meta.lr)
        return OuterStep(self.step, float(meta.outer_loss), norm, num_inner_steps, entropy, current.inner_lr)

    def _meta_gradient(self, point: OuterPoint, num_inner_steps: int) -> MetaGradient:
        setting = self._setting
        meta_gradient, student = setting.spec.meta_gradient, setting.student
        real = draw_real_batch(setting, point.step)

        def outer_loss(params: Params) -> Tensor:
            return next_event_loss(student, params, real)

        taken = self._students.take(point, num_inner_steps)
        result = compute_meta_gradient(
            make_inner_loss(setting, point.step, point.input_events),
            outer_loss,
            taken.params,
            {PROBABILITIES: point.probabilities},
            setting.inner_adam(point.inner_lr),
            num_inner_steps=num_inner_steps,
            method=meta_gradient.method,
            window=meta_gradient.window,
        )
        self._students.put_back(taken, result.final_params)
        return result


def distill(
    setting: Setting, teachers: Sequence[TeacherTrajectory], resume_from: Checkpoint | None = None
) -> Generator[OuterStep, None, Distilled]:
    """Run an outer loop from start or checkpoint to end; its best result is the generator's return value."""
    loop = OuterLoop(setting, teachers)
    if resume_from is not None:
        loop.restore(resume_from)
    while not loop.finished:
        yield loop.advance()
    return loop.best
