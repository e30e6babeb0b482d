"""Measures how fast this machine trains students: some seconds of real steps, fitted by what ``farzi_core.costs`` counts.

Every architecture takes training steps of four shapes, chosen so that each thing that is counted matters in one of them, and
on one shape a look and a whole differentiated inner loop.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from farzi_core.allocator import freed_memory_kept
from farzi_core.config import Architecture, StudentConfig
from farzi_core.costs import Calibration, Speed, StepWork, count_encoding, count_training_step
from farzi_core.evaluation.training import init_on
from farzi_core.metagrad import AdamConfig, adam_step, compute_meta_gradient, init_state
from farzi_core.metagrad.vectors import ParamLayout
from farzi_core.students import Params, Student, build_student, next_event_loss, soft_next_event_loss

SECONDS_PER_SHAPE = 0.1
MIN_REPEATS = 3
_INNER_STEPS = 6


@dataclass(frozen=True)
class _Shape:
    hidden_size: int
    vocab_size: int
    batch: int
    length: int
    soft: bool


# Launches, products, elements of the vocabulary, and what a small spec looks like.
_SHAPES = (
    _Shape(8, 20, 4, 10, soft=True),
    _Shape(64, 100, 64, 50, soft=False),
    _Shape(16, 2000, 16, 50, soft=True),
    _Shape(32, 300, 20, 50, soft=True),
)


def measure_machine(device: torch.device, *, startup_s: float, report_s: float) -> Calibration:
    """Measure every architecture on ``device``.

    Args:
        device: where students will live.
        startup_s: from the start of a process to this call, which is what a run takes before its first step.
        report_s: what writing a result takes; not measured here.

    Cost: some 15 seconds of one core.
    """
    with freed_memory_kept(large_blocks=True):  # as in trainings
        speeds = {architecture: _measure_architecture(architecture, device) for architecture in get_args(Architecture)}
    return Calibration(speeds, startup_s, report_s)


def _measure_architecture(architecture: Architecture, device: torch.device) -> Speed:
    benches = [_Bench(architecture, shape, device) for shape in _SHAPES]
    measured = np.array([bench.time_training_step() for bench in benches])
    counted = np.array([[work.launches, work.products, work.elements] for work in (bench.work for bench in benches)])
    coefficients = fit_non_negative(counted / measured[:, None], np.ones(len(measured)))
    launch_s, product_s, element_s = (float(value) for value in coefficients)
    last = benches[-1]
    reverse = last.time_inner_loop() / _INNER_STEPS / float(measured[-1]) - 1.0
    speed = Speed(launch_s, product_s, element_s, reverse_factor=max(1.0, reverse), look_factor=1.0)
    return replace(speed, look_factor=last.time_encoding() / speed.training_s(last.encoding))


def fit_non_negative(rows: NDArray[np.float64], targets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the x >= 0 that brings ``rows @ x`` closest to ``targets``; columns are few, so every set of them is tried."""
    num_columns = rows.shape[1]
    best, least = np.zeros(num_columns), float("inf")
    scale = np.abs(rows).max(0)
    for size in range(1, num_columns + 1):
        for chosen in itertools.combinations(range(num_columns), size):
            columns = list(chosen)
            values = np.linalg.lstsq(rows[:, columns] / scale[columns], targets, rcond=None)[0] / scale[columns]
            error = float(np.square(rows[:, columns] @ values - targets).sum())
            if (values >= 0).all() and error < least:
                best, least = np.zeros(num_columns), error
                best[columns] = values
    return best


class _Bench:
    """One student of one shape, with data of no meaning."""

    def __init__(self, architecture: Architecture, shape: _Shape, device: torch.device) -> None:
        config = StudentConfig(
            architecture=architecture, hidden_size=shape.hidden_size, num_layers=2, num_heads=1, max_length=shape.length
        )
        self._device, self._shape = device, shape
        self._student: Student = build_student(config, shape.vocab_size)
        generator = torch.Generator().manual_seed(0)
        self._params = init_on(self._student, generator, torch.float32, device)
        scores = torch.randn(shape.batch, shape.length, shape.vocab_size, generator=generator)
        self._soft = scores.softmax(-1).to(device)
        self._events = torch.randint(shape.vocab_size, (shape.batch, shape.length + 1), generator=generator).to(device)
        self.work = count_training_step(config, shape.vocab_size, shape.batch, shape.length, soft=shape.soft)
        encoded = count_encoding(config, shape.batch, shape.length)
        scored = shape.batch * shape.vocab_size
        self.encoding = encoded + StepWork(12, scored * shape.hidden_size, 4 * scored)

    def time_training_step(self) -> float:
        layout = ParamLayout(self._params)
        state = init_state(layout.flatten(self._params))
        adam = AdamConfig(1e-3)

        def step() -> None:
            flat = state.params.detach().requires_grad_()
            params = dict(zip(layout.names, layout.split(flat), strict=True))
            (grad,) = torch.autograd.grad(self._loss(params), flat)
            adam_step(state, grad, adam)

        return self._time(step)

    def time_encoding(self) -> float:
        """Time a ranking of one event for every sequence."""

        def look() -> None:
            with torch.no_grad():
                embedded = self._student.embed_events(self._params, self._events[:, :-1])
                hidden = self._student.encode(self._params, embedded, self._events[:, :-1] >= 0)[:, -1]
                scores = self._student.event_logits(self._params, hidden)
                (scores >= scores[:, :1]).sum(1)

        return self._time(look)

    def time_inner_loop(self) -> float:
        """Time an inner loop whose every step is differentiated."""

        def inner_loss(params: Params, synthetic: Params, _step: int) -> Tensor:
            return soft_next_event_loss(self._student, params, synthetic["probabilities"])

        def outer_loss(params: Params) -> Tensor:
            return next_event_loss(self._student, params, self._events[:1])

        def loop() -> None:
            compute_meta_gradient(
                inner_loss,
                outer_loss,
                self._params,
                {"probabilities": self._soft},
                AdamConfig(1e-3, eps_root=1e-6),
                num_inner_steps=_INNER_STEPS,
                method="stored",
            )

        return self._time(loop)

    def _loss(self, params: Params) -> Tensor:
        if self._shape.soft:
            return soft_next_event_loss(self._student, params, self._soft)
        return next_event_loss(self._student, params, self._events)

    def _time(self, step: Callable[[], None]) -> float:
        """Return the median seconds of a step, once it is warm."""
        step()
        taken: list[float] = []
        while len(taken) < MIN_REPEATS or sum(taken) < SECONDS_PER_SHAPE:
            self._synchronize()
            started = time.perf_counter()
            step()
            self._synchronize()
            taken.append(time.perf_counter() - started)
        return median(taken)

    def _synchronize(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
