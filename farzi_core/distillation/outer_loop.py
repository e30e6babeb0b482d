"""The outer loop: synthetic data that trains fresh students well, found along the meta-gradient.

One outer step: draw a length T and start parameters, train a student on the soft tokens for T steps, take its loss on real
data, pull it back through the last steps to the soft tokens and once from those to latents and decoder, clip, take an Adam
step. What makes it converge, each piece from measurement:

- the inner loop's length varies, so that the data serve short and long trainings alike;
- only the last steps are differentiated: through longer windows the gradient is chaotic;
- the norm is clipped at its own running median, since a fixed bound lets spikes through;
- the outer learning rate falls to 0 by a cosine, and the result is a moving average.

Shape letters: S synthetic sequences, L length, V vocabulary, T inner steps.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from statistics import median

import torch
from torch import Tensor

from farzi_core.config import OuterConfig
from farzi_core.distillation.checkpoint import Checkpoint
from farzi_core.distillation.setting import Setting
from farzi_core.distillation.start import make_start
from farzi_core.distillation.teachers import TeacherTrajectory
from farzi_core.errors import NumericalError
from farzi_core.evaluation.training import SoftData, StudentTraining, TrainingPlan, draw_rows, init_on
from farzi_core.metagrad import AdamConfig, AdamState, MetaGradient, adam_step, compute_meta_gradient, init_state
from farzi_core.metagrad.vectors import ParamLayout
from farzi_core.seeding import derive_generator
from farzi_core.students import Params, next_event_loss, soft_next_event_loss
from farzi_core.synthetic.base import Synthetic

MEDIAN_STEPS = 50
LOG_LR = "log_inner_lr"
_OUTER_ADAM = AdamConfig(eps_root=0.0)
LOOKS_PER_VALIDATION = 5


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


@dataclass(frozen=True)
class Distilled:
    """Synthetic data together with the inner learning rate it was made for."""

    synthetic: Synthetic
    inner_lr: float


def cosine_lr(lr: float, step: int, num_steps: int) -> float:
    """Return the learning rate of outer step ``step`` (from 0): ``lr (1 + cos(pi step / num_steps)) / 2``."""
    return lr * 0.5 * (1.0 + math.cos(math.pi * step / num_steps))


def clip_factor(norms: Sequence[float], clip_norm: float | str | None) -> float:
    """Return what the newest meta-gradient is multiplied by, so that its norm is at most the bound.

    Args:
        norms: norms so far, the newest last and counted in the median.
        clip_norm: a number, ``"median"`` of the last 50, or None for no bound.
    """
    newest = norms[-1]
    if clip_norm is None or newest == 0.0:
        return 1.0
    bound = median(norms[-MEDIAN_STEPS:]) if isinstance(clip_norm, str) else clip_norm
    return min(1.0, bound / newest)


class OuterLoop:
    """The outer loop, advanced step by step.

    Args:
        setting: data and student.
        teachers: trajectories; the first gives the start its space, all give start parameters where the spec asks.
    """

    def __init__(self, setting: Setting, teachers: Sequence[TeacherTrajectory]) -> None:
        self._setting, self._teachers = setting, teachers
        self._start = make_start(setting, teachers)
        tensors = self._start.tensors()
        if setting.spec.inner.learn_lr:
            tensors[LOG_LR] = torch.tensor(math.log(setting.spec.inner.lr), dtype=setting.dtype, device=setting.device)
        self._layout = ParamLayout(tensors)
        self._state = init_state(self._layout.flatten(tensors))
        self._average = self._state.params
        self._best = self._average
        self._best_value: float | None = None
        self._validations_since_best = 0
        self._norms: list[float] = []

    @property
    def step(self) -> int:
        """Outer steps taken."""
        return self._state.step

    @property
    def finished(self) -> bool:
        """Whether the loop has had all its steps or run out of patience."""
        outer = self._setting.spec.outer
        return self.step >= outer.num_steps or (outer.patience is not None and self._validations_since_best >= outer.patience)

    @property
    def best(self) -> Distilled:
        """The averaged synthetic data of the best validation; the start before the first one."""
        return self._distilled(self._best)

    def advance(self) -> OuterStep:
        """Take one outer step, and validate when it is time.

        Raises:
            NumericalError: a loss or a gradient is not finite.
        """
        assert not self.finished
        current = self._distilled(self._state.params)
        entropy = float(current.synthetic.entropy().mean())
        num_inner_steps = self._draw_num_inner_steps()
        tensors = {name: tensor.requires_grad_() for name, tensor in current.synthetic.tensors().items()}
        probabilities = current.synthetic.with_tensors(tensors).probabilities()
        meta = self._meta_gradient(probabilities.detach(), current.inner_lr, num_inner_steps)
        norm = self._take_step(tensors, probabilities, meta, current.inner_lr)
        result = OuterStep(self.step, float(meta.outer_loss), norm, num_inner_steps, entropy, current.inner_lr)
        return self._validate(result) if self._validation_is_due() else result

    def _draw_num_inner_steps(self) -> int:
        inner = self._setting.spec.inner
        generator = derive_generator(self._setting.spec.seed, "num_inner_steps", self.step)
        return int(torch.randint(inner.min_steps, inner.num_steps + 1, (1,), generator=generator))

    def _meta_gradient(self, probabilities: Tensor, inner_lr: float, num_inner_steps: int) -> MetaGradient:
        setting, outer_step = self._setting, self.step
        spec, student = setting.spec, setting.student
        batch_size = spec.inner.batch_size or spec.synthetic.num_sequences
        real = setting.real.draw(
            spec.outer.batch_size, spec.student.max_length + 1, derive_generator(spec.seed, "outer_batch", outer_step)
        ).to(setting.device)

        def inner_loss(params: Params, synthetic: Params, inner_step: int) -> Tensor:
            generator = derive_generator(spec.seed, "inner_batch", outer_step, inner_step)
            return soft_next_event_loss(student, params, draw_rows(synthetic["probabilities"], batch_size, generator))

        def outer_loss(params: Params) -> Tensor:
            return next_event_loss(student, params, real)

        return compute_meta_gradient(
            inner_loss,
            outer_loss,
            self._draw_start_params(),
            {"probabilities": probabilities},
            setting.inner_adam(inner_lr),
            num_inner_steps=num_inner_steps,
            method=spec.meta_gradient.method,
            window=spec.meta_gradient.window,
        )

    def _draw_start_params(self) -> Params:
        setting = self._setting
        kind = setting.spec.outer.start_params
        generator = derive_generator(setting.spec.seed, "start_params", self.step)
        checkpoints = [params for teacher in self._teachers for params in teacher.checkpoints]
        is_fresh = kind == "random" or (kind == "mixed" and torch.rand((), generator=generator).item() < 0.5)
        if is_fresh:
            return init_on(setting.student, generator, setting.dtype, setting.device)
        return checkpoints[int(torch.randint(len(checkpoints), (1,), generator=generator))]

    def _take_step(self, tensors: dict[str, Tensor], probabilities: Tensor, meta: MetaGradient, inner_lr: float) -> float:
        """Pull the gradient back from the soft tokens, clip it and move; return its norm."""
        pulled = torch.autograd.grad(probabilities, list(tensors.values()), meta.synthetic["probabilities"])
        norm = float(torch.linalg.vector_norm(torch.cat([grad.flatten() for grad in pulled])))
        if not math.isfinite(norm):
            raise NumericalError(
                f"the meta-gradient is {norm} at outer step {self.step + 1}; shorten meta_gradient.window or lower inner.lr",
                step=self.step + 1,
                tensor="meta_gradient",
            )
        self._norms = [*self._norms, norm][-MEDIAN_STEPS:]
        outer = self._setting.spec.outer
        grads: dict[str, Tensor] = dict(zip(tensors, pulled, strict=True))
        if LOG_LR in self._layout.names:
            grads[LOG_LR] = meta.lr * inner_lr  # d / d log lr
        flat = self._layout.flatten(grads) * clip_factor(self._norms, outer.clip_norm)
        self._state = adam_step(self._state, flat, replace(_OUTER_ADAM, lr=self._lr(outer)))
        self._average = torch.lerp(self._average, self._state.params, 1.0 - outer.average_decay)
        return norm

    def _lr(self, outer: OuterConfig) -> float:
        return cosine_lr(outer.lr, self.step, outer.num_steps)

    def _validation_is_due(self) -> bool:
        outer = self._setting.spec.outer
        return self.step % outer.validate_every == 0 or self.step == outer.num_steps

    def _validate(self, result: OuterStep) -> OuterStep:
        value, is_best = self._measure(self._distilled(self._average))
        self._validations_since_best += 1
        if is_best:
            self._best_value, self._best, self._validations_since_best = value, self._average, 0
        return replace(result, validation=value, best=is_best)

    def _measure(self, distilled: Distilled) -> tuple[float, bool]:
        """Train one fresh student, the same at every validation, and compare its best look with the best so far."""
        setting = self._setting
        inner = setting.spec.inner
        plan = TrainingPlan(setting.inner_adam(distilled.inner_lr), inner.num_steps, LOOKS_PER_VALIDATION, None, setting.metric)
        batch_size = inner.batch_size or setting.spec.synthetic.num_sequences
        training = StudentTraining(
            setting.student,
            SoftData(distilled.synthetic.probabilities(), batch_size),
            setting.validation,
            plan,
            seed=setting.spec.seed,
            purpose=("outer_validation",),
            dtype=setting.dtype,
            device=setting.device,
        )
        while not training.finished:
            training.advance()
        value = training.best_value
        assert value is not None
        return value, plan.is_better(value, self._best_value)

    def _distilled(self, flat: Tensor) -> Distilled:
        tensors = self._layout.name(flat)
        log_lr = tensors.pop(LOG_LR, None)
        inner_lr = self._setting.spec.inner.lr if log_lr is None else math.exp(float(log_lr))
        return Distilled(self._start.with_tensors(tensors), inner_lr)

    def checkpoint(self) -> Checkpoint:
        """Return the state between two steps."""
        tensors = {
            "current": self._state.params,
            "exp_avg": self._state.exp_avg,
            "exp_avg_sq": self._state.exp_avg_sq,
            "average": self._average,
            "best": self._best,
        }
        values = {
            "step": self.step,
            "best_value": self._best_value,
            "validations_since_best": self._validations_since_best,
            "norms": self._norms,
        }
        return Checkpoint(tensors, values)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a state that :meth:`checkpoint` returned."""
        tensors = {name: tensor.to(self._setting.device) for name, tensor in checkpoint.tensors.items()}
        values = checkpoint.values
        self._state = AdamState(tensors["current"], tensors["exp_avg"], tensors["exp_avg_sq"], values["step"])
        self._average, self._best = tensors["average"], tensors["best"]
        self._best_value = values["best_value"]
        self._validations_since_best, self._norms = values["validations_since_best"], list(values["norms"])


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
