"""Keeps, or makes again, the states of an inner loop for the way back.

A trajectory runs the loop forward once and then gives its steps last first. It knows how to advance a state, and nothing of
losses or adjoints. P below is the size of the parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from farzi_core.metagrad.adam import AdamState


@dataclass(frozen=True)
class InnerStep:
    """One step of the inner loop: where its gradient was taken, the gradient, and the state it led to."""

    step: int
    params: Tensor
    grad: Tensor
    after: AdamState


Advance = Callable[[AdamState], InnerStep]


class Trajectory(Protocol):
    """Runs an inner loop forward once, then walks it back once.

    Attributes:
        replay_error: largest relative difference between a state and the same state made again; 0 if none was.
    """

    replay_error: float

    def run(self, start: AdamState, num_steps: int) -> AdamState:
        """Advance ``num_steps`` times and return the last state."""
        ...

    def walk_back(self) -> Iterator[InnerStep]:
        """Yield the kept steps, last first; what has been yielded is let go."""
        ...


class StoredTrajectory:
    """Keeps every step, or the last ``window``: 4 P per step kept, no recomputation."""

    replay_error = 0.0

    def __init__(self, advance: Advance, window: int | None = None) -> None:
        self._advance = advance
        self._window = window
        self._steps: list[InnerStep] = []

    def run(self, start: AdamState, num_steps: int) -> AdamState:
        first_kept = 0 if self._window is None else max(0, num_steps - self._window)
        state = start
        for index in range(num_steps):
            step = self._advance(state)
            if index >= first_kept:
                self._steps.append(step)
            state = step.after
        return state

    def walk_back(self) -> Iterator[InnerStep]:
        while self._steps:
            yield self._steps.pop()


class CheckpointedTrajectory:
    """Keeps the state at the start of each of about sqrt(T) segments, and every step of the segment being walked back.

    Memory: 3 P per segment and 4 P per step of one segment. Time: one more gradient for each step outside the last segment,
    whose steps are kept on the way forward.
    """

    def __init__(self, advance: Advance) -> None:
        self.replay_error = 0.0
        self._advance = advance
        self._borders: list[AdamState] = []
        self._lengths: list[int] = []
        self._last_segment = StoredTrajectory(advance)

    def run(self, start: AdamState, num_steps: int) -> AdamState:
        length = max(1, math.isqrt(num_steps))
        self._lengths = [length] * (num_steps // length)
        if num_steps % length:
            self._lengths.insert(0, num_steps % length)
        state = start
        for segment_length in self._lengths[:-1]:
            self._borders.append(state)
            for _ in range(segment_length):
                state = self._advance(state).after
        self._borders.append(state)
        return self._last_segment.run(state, self._lengths[-1])

    def walk_back(self) -> Iterator[InnerStep]:
        yield from self._last_segment.walk_back()
        expected = self._borders.pop()
        while self._borders:
            start = self._borders.pop()
            segment = StoredTrajectory(self._advance)
            end = segment.run(start, expected.step - start.step)
            self.replay_error = max(self.replay_error, relative_difference(end, expected))
            yield from segment.walk_back()
            expected = start


def relative_difference(state: AdamState, expected: AdamState) -> float:
    """Return the largest difference of parameters or moments, each relative to the largest expected entry."""
    largest = 0.0
    for name in ("params", "exp_avg", "exp_avg_sq"):
        value, reference = getattr(state, name), getattr(expected, name)
        scale = torch.clamp(reference.abs().max(), min=torch.finfo(reference.dtype).tiny)
        largest = max(largest, float((value - reference).abs().max() / scale))
    return largest
