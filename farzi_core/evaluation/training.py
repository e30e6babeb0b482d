"""Training a fresh student, on any data, with the best step chosen on validation.

Teachers, full-data baselines and students of synthetic data all train here, under one rule: start at random, take Adam
steps, look at the validation cases at even intervals, keep the best look, stop when none of the last ones was better. A
training is an object that advances step by step, so that it can be watched, stopped and resumed with the same numbers.

Shape letters: B batch, L length, S synthetic sequences, V vocabulary.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, overload

import torch
from torch import Tensor

from farzi_core.distillation.checkpoint import Checkpoint
from farzi_core.distillation.real_data import RealSequences
from farzi_core.errors import NumericalError
from farzi_core.evaluation.held_out import HeldOutCases
from farzi_core.evaluation.metrics import is_better, summarise
from farzi_core.metagrad import AdamConfig, AdamState, adam_step, init_state
from farzi_core.metagrad.vectors import ParamLayout
from farzi_core.seeding import derive_generator
from farzi_core.students import Params, Student, next_event_loss, soft_next_event_loss
from farzi_core.synthetic.base import Synthetic


class TrainingData(Protocol):
    """What a student is trained on."""

    def loss(self, student: Student, params: Params, generator: torch.Generator) -> Tensor:
        """Return the loss of one step; ``generator`` decides on batch and dropout."""
        ...


@dataclass(frozen=True)
class RealData:
    """Random windows of real sequences, with the student's dropout."""

    sequences: RealSequences
    batch_size: int
    max_length: int
    device: torch.device

    def loss(self, student: Student, params: Params, generator: torch.Generator) -> Tensor:
        # One event more than the student reads: the last one is only a target.
        events = self.sequences.draw(self.batch_size, self.max_length + 1, generator).to(self.device)
        return next_event_loss(student, params, events, dropout_generator=_on(self.device, generator))


@dataclass(frozen=True)
class HardData:
    """A fixed set of hard sequences, int64 (N, L), padded on the left, with the student's dropout."""

    events: Tensor
    batch_size: int

    def loss(self, student: Student, params: Params, generator: torch.Generator) -> Tensor:
        events = draw_rows(self.events, self.batch_size, generator)
        return next_event_loss(student, params, events, dropout_generator=_on(events.device, generator))


@dataclass(frozen=True)
class SoftData:
    """Synthetic soft tokens (S, L, V) with the input events (S, L) that they may have, and the student's dropout."""

    probabilities: Tensor
    input_events: Tensor | None
    batch_size: int

    @classmethod
    def of(cls, synthetic: Synthetic, batch_size: int) -> SoftData:
        """Return synthetic data as what a student is trained on, ``batch_size`` sequences at every step."""
        return cls(synthetic.probabilities(), synthetic.input_events, batch_size)

    def loss(self, student: Student, params: Params, generator: torch.Generator) -> Tensor:
        rows = draw_row_numbers(len(self.probabilities), self.batch_size, generator)
        batch, inputs = take_rows(self.probabilities, rows), take_rows(self.input_events, rows)
        return soft_next_event_loss(student, params, batch, inputs, dropout_generator=_on(batch.device, generator))


def draw_rows(rows: Tensor, batch_size: int, generator: torch.Generator) -> Tensor:
    """Return distinct random rows, or all of them in order when the batch is no smaller."""
    return take_rows(rows, draw_row_numbers(len(rows), batch_size, generator))


def draw_row_numbers(num_rows: int, batch_size: int, generator: torch.Generator) -> Tensor | None:
    """Return distinct random row numbers, int64 (batch_size,); None, which stands for all, when the batch is no smaller."""
    return None if batch_size >= num_rows else torch.randperm(num_rows, generator=generator)[:batch_size]


@overload
def take_rows(table: Tensor, rows: Tensor | None) -> Tensor: ...
@overload
def take_rows(table: Tensor | None, rows: Tensor | None) -> Tensor | None: ...
def take_rows(table: Tensor | None, rows: Tensor | None) -> Tensor | None:
    """Return the rows that :func:`draw_row_numbers` drew; None where there is no table."""
    return table if table is None or rows is None else table[rows.to(table.device)]


@dataclass(frozen=True)
class TrainingPlan:
    """The rule of one training.

    Attributes:
        adam: constants of the optimiser.
        max_steps: longest training.
        num_validations: looks at the validation cases, evenly spaced over ``max_steps``.
        patience: looks without a better one before the training stops; None never stops.
        metric: what "better" is measured by.
    """

    adam: AdamConfig
    max_steps: int
    num_validations: int
    patience: int | None
    metric: str

    @property
    def validate_every(self) -> int:
        return max(1, self.max_steps // self.num_validations)

    def is_better(self, value: float, best: float | None) -> bool:
        return best is None or is_better(value, best, self.metric)


@dataclass(frozen=True)
class TrainingStep:
    """One step of a training.

    Attributes:
        step: from 1.
        loss: in nats per event, before the step.
        validation: the metric, when this step was looked at.
    """

    step: int
    loss: float
    validation: float | None


class Look(NamedTuple):
    """One look at the validation cases.

    Attributes:
        step: after how many steps.
        train_s: seconds of training until then, looks not counted.
        value: the metric.
    """

    step: int
    train_s: float
    value: float


class StudentTraining:
    """One training of one fresh student.

    Args:
        student: the model.
        data: what it is trained on.
        validation: what the best step is chosen on.
        plan: the rule.
        seed: seed of the spec.
        purpose: what makes this training's randomness its own, for example ``("teacher", 0)``.
        dtype: of the parameters.
        device: where the parameters live.
    """

    def __init__(
        self,
        student: Student,
        data: TrainingData,
        validation: HeldOutCases,
        plan: TrainingPlan,
        *,
        seed: int,
        purpose: tuple[str | int, ...],
        dtype: torch.dtype = torch.float32,
        device: torch.device | None = None,
    ) -> None:
        self.student, self.plan = student, plan
        self._data, self._validation = data, validation
        self._seed, self._purpose = seed, purpose
        start = init_on(student, derive_generator(seed, *purpose, "init"), dtype, device)
        self._layout = ParamLayout(start)
        self._state = init_state(self._layout.flatten(start))
        self._best_params = self._state.params
        self.best_value: float | None = None
        self.best_step = 0
        self.train_s = 0.0
        self.train_s_to_best = 0.0
        self.looks: list[Look] = []
        self._looks_since_best = 0

    @property
    def step(self) -> int:
        """Steps taken."""
        return self._state.step

    @property
    def finished(self) -> bool:
        """Whether the training has had all its steps or run out of patience."""
        patience = self.plan.patience
        return self.step >= self.plan.max_steps or (patience is not None and self._looks_since_best >= patience)

    @property
    def params(self) -> Params:
        """Parameters now."""
        return self._layout.name(self._state.params)

    @property
    def best_params(self) -> Params:
        """Parameters of the best look."""
        return self._layout.name(self._best_params)

    def advance(self) -> TrainingStep:
        """Take one step, and look at the validation cases when it is time.

        Raises:
            NumericalError: the loss or the scores are not finite.
        """
        assert not self.finished
        started = time.perf_counter()
        loss = self._take_step()
        self.train_s += time.perf_counter() - started
        is_look = self.step % self.plan.validate_every == 0 or self.step == self.plan.max_steps
        return TrainingStep(self.step, loss, self._look() if is_look else None)

    def _take_step(self) -> float:
        generator = derive_generator(self._seed, *self._purpose, self.step)
        flat = self._state.params.detach().requires_grad_()
        params = dict(zip(self._layout.names, self._layout.split(flat), strict=True))
        loss = self._data.loss(self.student, params, generator)
        (grad,) = torch.autograd.grad(loss, flat)
        self._state = adam_step(replace(self._state, params=flat.detach()), grad, self.plan.adam)
        value = float(loss.detach())
        if not value < float("inf"):
            raise NumericalError(
                f"the training loss is {value} at step {self.step}; lower the learning rate (it is {self.plan.adam.lr})",
                step=self.step,
                tensor="loss",
            )
        return value

    def _look(self) -> float:
        value = summarise(self._validation.measure(self.student, self.params))[self.plan.metric]
        self.looks.append(Look(self.step, self.train_s, value))
        self._looks_since_best += 1
        if self.plan.is_better(value, self.best_value):
            self.best_value, self.best_step, self._best_params = value, self.step, self._state.params
            self.train_s_to_best, self._looks_since_best = self.train_s, 0
        return value

    def checkpoint(self) -> Checkpoint:
        """Return the state between two steps."""
        tensors = {
            "params": self._state.params,
            "exp_avg": self._state.exp_avg,
            "exp_avg_sq": self._state.exp_avg_sq,
            "best_params": self._best_params,
        }
        values = {
            "step": self.step,
            "best_value": self.best_value,
            "best_step": self.best_step,
            "train_s": self.train_s,
            "train_s_to_best": self.train_s_to_best,
            "looks_since_best": self._looks_since_best,
            "looks": [list(look) for look in self.looks],
        }
        return Checkpoint(tensors, values)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a state that :meth:`checkpoint` returned."""
        device = self._state.params.device
        tensors = {name: tensor.to(device) for name, tensor in checkpoint.tensors.items()}
        values = checkpoint.values
        self._state = AdamState(tensors["params"], tensors["exp_avg"], tensors["exp_avg_sq"], values["step"])
        self._best_params = tensors["best_params"]
        self.best_value, self.best_step = values["best_value"], values["best_step"]
        self.train_s, self.train_s_to_best = values["train_s"], values["train_s_to_best"]
        self._looks_since_best = values["looks_since_best"]
        self.looks = [Look(*look) for look in values["looks"]]


def init_on(student: Student, generator: torch.Generator, dtype: torch.dtype, device: torch.device | None) -> Params:
    """Return fresh parameters, drawn on the CPU whatever the device, so that a seed means the same everywhere."""
    params = student.init_params(generator, dtype)
    return params if device is None else {name: value.to(device) for name, value in params.items()}


def _on(device: torch.device, generator: torch.Generator) -> torch.Generator:
    if device.type == generator.device.type:
        return generator
    seed = int(torch.randint(2**62, (1,), generator=generator))
    return torch.Generator(device).manual_seed(seed)
