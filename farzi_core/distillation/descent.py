"""Synthetic data on their way down a loss: what every method that learns them shares, wherever its gradient comes from.

One step: pull the gradient back from the soft tokens to what makes them, clip it at its own running median (a fixed bound
lets spikes through), take an Adam step whose learning rate falls to 0 by a cosine, follow with a moving average. Now and then
a fresh student is trained on the average, and the average that trained the best one is the result.

Knows nothing of losses on soft tokens: a caller asks for the soft tokens, and gives a gradient with respect to them.

Shape letters: S synthetic sequences, L length, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

import torch
from torch import Tensor

from farzi_core.batch_sizes import synthetic_batch_size
from farzi_core.distillation.checkpoint import Checkpoint
from farzi_core.distillation.course import Course, EndedBy
from farzi_core.distillation.outer_point import OuterPoint
from farzi_core.distillation.setting import Setting
from farzi_core.distillation.student_pool import StudentPool
from farzi_core.distillation.validation import measure_fresh_student
from farzi_core.errors import NumericalError
from farzi_core.evaluation.metrics import is_better
from farzi_core.evaluation.training import SoftData
from farzi_core.metagrad import AdamConfig, AdamState, adam_step, init_state
from farzi_core.metagrad.vectors import ParamLayout
from farzi_core.soft_tokens import INPUT_EVENTS
from farzi_core.synthetic.base import Synthetic

MEDIAN_STEPS = 50
_LOG_LR = "log_inner_lr"
_OUTER_ADAM = AdamConfig(eps_root=0.0)


@dataclass(frozen=True)
class Distilled:
    """Synthetic data together with the inner learning rate it was made for."""

    synthetic: Synthetic
    inner_lr: float


@dataclass(frozen=True)
class Validation:
    """One validation of the averaged synthetic data.

    Attributes:
        value: metric of a fresh student trained on them.
        best: whether that is the best so far.
    """

    value: float
    best: bool


@dataclass(frozen=True)
class TrackedTokens:
    """Soft tokens with the graph to the tensors that make them.

    Attributes:
        tensors: of the synthetic data, by name; the leaves of the graph.
        with_graph: (S, L, V), a function of them.
        input_events: int64 (S, L), what students are shown; None: the soft tokens.
    """

    tensors: dict[str, Tensor]
    with_graph: Tensor
    input_events: Tensor | None

    @property
    def probabilities(self) -> Tensor:
        """(S, L, V), without the graph."""
        return self.with_graph.detach()

    def pull_back(self, adj_probabilities: Tensor) -> dict[str, Tensor]:
        """Return the gradient by tensor name; once only, the graph is freed."""
        grads = torch.autograd.grad(self.with_graph, list(self.tensors.values()), adj_probabilities)
        return dict(zip(self.tensors, grads, strict=True))


def cosine_lr(lr: float, step: int, num_steps: int) -> float:
    """Return the learning rate of outer step ``step`` (from 0): ``lr (1 + cos(pi step / num_steps)) / 2``."""
    return lr * 0.5 * (1.0 + math.cos(math.pi * step / num_steps))


def clip_factor(norms: Sequence[float], clip_norm: float | str | None) -> float:
    """Return what the newest gradient is multiplied by, so that its norm is at most the bound.

    Args:
        norms: norms so far, the newest last and counted in the median.
        clip_norm: a number, ``"median"`` of the last 50, or None for no bound.
    """
    newest = norms[-1]
    if clip_norm is None or newest == 0.0:
        return 1.0
    bound = median(norms[-MEDIAN_STEPS:]) if isinstance(clip_norm, str) else clip_norm
    return min(1.0, bound / newest)


class SyntheticDescent:
    """Synthetic data that move along gradients, as ``outer`` of the spec says.

    Args:
        setting: data and student.
        start: synthetic data before the first step.
        learn_lr: whether the inner learning rate moves with them; it needs ``adj_lr`` at every step.
    """

    def __init__(self, setting: Setting, start: Synthetic, *, learn_lr: bool) -> None:
        self._setting, self._start = setting, start
        outer = setting.spec.outer
        assert outer.num_steps is not None, "a setting has no choices left"
        assert outer.lr is not None, "a setting has no choices left"
        self._num_steps, self._lr = outer.num_steps, outer.lr
        tensors = start.tensors()
        if learn_lr:
            tensors[_LOG_LR] = torch.tensor(math.log(setting.spec.inner.lr), dtype=setting.dtype, device=setting.device)
        self._layout = ParamLayout(tensors)
        self._state = init_state(self._layout.flatten(tensors))
        self._average = self._state.params
        self._best = self._average
        self._best_value: float | None = None
        self._start_value: float | None = None
        self._best_step = 0
        self._validations_since_best = 0
        self._norms: list[float] = []

    @property
    def step(self) -> int:
        """Steps taken."""
        return self._state.step

    @property
    def finished(self) -> bool:
        """Whether all steps are taken or patience has run out."""
        return self._ended_by is not None

    @property
    def _ended_by(self) -> EndedBy | None:
        if self.step >= self._num_steps:
            return "all_steps"
        patience = self._setting.spec.outer.patience
        return "patience" if patience is not None and self._validations_since_best >= patience else None

    @property
    def course(self) -> Course:
        """How far it has come, and how good what it keeps is."""
        return Course(self.step, self._num_steps, self._best_step, self._start_value, self._best_value, ended_by=self._ended_by)

    @property
    def current(self) -> Distilled:
        """The synthetic data as they are, not averaged."""
        return self._distilled(self._state.params)

    @property
    def best(self) -> Distilled:
        """The averaged synthetic data of the best validation; the start until one is better."""
        return self._distilled(self._best)

    def soften(self) -> TrackedTokens:
        """Return the soft tokens of :attr:`current`, for one :meth:`move`."""
        synthetic = self.current.synthetic
        tensors = {name: tensor.requires_grad_() for name, tensor in synthetic.tensors().items()}
        return TrackedTokens(tensors, synthetic.with_tensors(tensors).probabilities(), synthetic.input_events)

    def point(self, soft_tokens: TrackedTokens) -> OuterPoint:
        """Return what :meth:`soften` returned as a loss sees it."""
        return OuterPoint(soft_tokens.probabilities, soft_tokens.input_events, self.current.inner_lr, self.step)

    def move(self, soft_tokens: TrackedTokens, adj_probabilities: Tensor, adj_lr: Tensor | None = None) -> float:
        """Take one step against a gradient.

        Args:
            soft_tokens: of the data as they are; what :meth:`soften` returned.
            adj_probabilities: d loss / d probabilities (S, L, V).
            adj_lr: d loss / d inner learning rate; only read where that is learned.

        Returns:
            The norm of the gradient with respect to the synthetic data's tensors, before clipping.

        Raises:
            NumericalError: the gradient is not finite.
        """
        outer, inner_lr = self._setting.spec.outer, self.current.inner_lr
        grads = soft_tokens.pull_back(adj_probabilities)
        self._norms = [*self._norms, self._norm(grads)][-MEDIAN_STEPS:]
        if _LOG_LR in self._layout.names:
            assert adj_lr is not None, "a learned inner learning rate needs its gradient"
            grads[_LOG_LR] = adj_lr * inner_lr  # d / d log lr
        flat = self._layout.flatten(grads) * clip_factor(self._norms, outer.clip_norm)
        lr = cosine_lr(self._lr, self.step, self._num_steps)
        self._state = adam_step(self._state, flat, replace(_OUTER_ADAM, lr=lr))
        self._average = torch.lerp(self._average, self._state.params, 1.0 - outer.average_decay)
        return self._norms[-1]

    def _norm(self, grads: dict[str, Tensor]) -> float:
        norm = float(torch.linalg.vector_norm(torch.cat([grad.flatten() for grad in grads.values()])))
        if not math.isfinite(norm):
            raise NumericalError(
                f"the gradient of the synthetic data is {norm} at outer step {self.step + 1}; shorten meta_gradient.window or "
                "lower inner.lr",
                step=self.step + 1,
                tensor="meta_gradient",
            )
        return norm

    def validate_start(self) -> float:
        """Return what the steps have to beat: the validation of the start, which is kept if none does. Measured once."""
        if self._start_value is None:
            self._start_value = self._best_value = self._measure(self._best)
        return self._start_value

    def validate(self) -> Validation | None:
        """Train a fresh student on the average, when the last step was one to validate; keep the average if it is the best."""
        if self.step % self._setting.spec.outer.validate_every != 0 and self.step != self._num_steps:
            return None
        self.validate_start()
        assert self._best_value is not None
        value = self._measure(self._average)
        is_best = is_better(value, self._best_value, self._setting.metric)
        self._validations_since_best += 1
        if is_best:
            self._best_value, self._best, self._validations_since_best = value, self._average, 0
            self._best_step = self.step
        return Validation(value, is_best)

    def _measure(self, flat: Tensor) -> float:
        """Return the best look of a fresh student trained on the synthetic data of a flat vector."""
        setting, distilled = self._setting, self._distilled(flat)
        data = SoftData.of(distilled.synthetic, synthetic_batch_size(setting.spec))
        return measure_fresh_student(setting, data, distilled.inner_lr)

    def _distilled(self, flat: Tensor) -> Distilled:
        tensors = self._layout.name(flat)
        log_lr = tensors.pop(_LOG_LR, None)
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
        if self._start.input_events is not None:
            tensors[INPUT_EVENTS] = self._start.input_events
        values = {
            "step": self.step,
            "start_value": self._start_value,
            "best_value": self._best_value,
            "best_step": self._best_step,
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
        if INPUT_EVENTS in tensors:
            # Drawn again on another machine, they might be others.
            self._start = replace(self._start, input_events=tensors[INPUT_EVENTS])
        self._start_value, self._best_value = values["start_value"], values["best_value"]
        self._best_step = values["best_step"]
        self._validations_since_best, self._norms = values["validations_since_best"], list(values["norms"])


class DescentLoop:
    """Base of what moves synthetic data step by step: all its state is that of the descent, and of the pool if it has one."""

    def __init__(self, descent: SyntheticDescent, pool: StudentPool | None) -> None:
        self._descent, self._pool = descent, pool

    @property
    def step(self) -> int:
        """Outer steps taken."""
        return self._descent.step

    @property
    def finished(self) -> bool:
        """Whether the loop has had all its steps or run out of patience."""
        return self._descent.finished

    @property
    def course(self) -> Course:
        """How far the loop has come, and how good what it keeps is."""
        return self._descent.course

    @property
    def current(self) -> Distilled:
        """The synthetic data as they are, not averaged."""
        return self._descent.current

    @property
    def best(self) -> Distilled:
        """The averaged synthetic data of the best validation; the start until one is better."""
        return self._descent.best

    def validate_start(self) -> float:
        """Return the validation of the start; the loop measures it at its first validation if nobody asks before."""
        return self._descent.validate_start()

    def checkpoint(self) -> Checkpoint:
        """Return the state between two steps."""
        parts = {"descent": self._descent.checkpoint()}
        return Checkpoint.join(parts if self._pool is None else {**parts, "pool": self._pool.checkpoint()})

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a state that :meth:`checkpoint` returned."""
        self._descent.restore(checkpoint.part("descent"))
        if self._pool is not None:
            self._pool.restore(checkpoint.part("pool"))
