"""Keeps, or makes again, the states of an inner loop for the way back.

A trajectory runs the loop forward once and then gives its steps last first. It knows how to advance a state, and nothing of
losses or adjoints. P below is the size of the parameters.

What is kept of a step is its gradient alone: states are a function of gradients that costs a few operations a number, so they
are made again, bit for bit, from a state now and then.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from farzi_core.metagrad.adam import AdamConfig, AdamState, adam_step
from farzi_core.metagrad.hvp import Linearization


@dataclass(frozen=True)
class InnerStep:
    """One step of the inner loop: where its gradient was taken, the gradient, and the state it led to.

    ``linearization`` holds the graph of the gradient where that was kept, so that the step need not be computed again.
    """

    step: int
    params: Tensor
    grad: Tensor
    after: AdamState
    linearization: Linearization | None = None


class Gradients(Protocol):
    """What a trajectory needs of the inner loss."""

    def gradient(self, params: Tensor, step: int) -> Tensor: ...

    def linearize(self, params: Tensor, step: int) -> Linearization: ...


class Stack(Protocol):
    """Last in, first out: where gradients wait for the way back."""

    def push(self, value: Tensor) -> None: ...

    def pop(self) -> Tensor: ...


class DeviceStack:
    """A stack that leaves tensors where they are."""

    def __init__(self) -> None:
        self._values: list[Tensor] = []

    def push(self, value: Tensor) -> None:
        self._values.append(value)

    def pop(self) -> Tensor:
        return self._values.pop()


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
    """Keeps the gradient of every step, or of the last ``window``, and the graphs of the last ``num_graphs``.

    Memory for W kept steps: W P of gradients, about 6 P sqrt(W) of states, and the graphs.
    """

    replay_error = 0.0

    def __init__(
        self,
        gradients: Gradients,
        adam: AdamConfig,
        *,
        window: int | None = None,
        num_graphs: int = 1,
        stack: Stack | None = None,
    ) -> None:
        self._gradients = gradients
        self._adam = adam
        self._window = window
        self._num_graphs = num_graphs
        self._stack = stack or DeviceStack()
        self._borders: list[AdamState] = []
        self._graphs: list[Linearization] = []
        self._end = 0

    def run(self, start: AdamState, num_steps: int) -> AdamState:
        state, self._end = start, start.step + num_steps
        num_kept = num_steps if self._window is None else min(num_steps, self._window)
        spacing = max(1, math.isqrt(num_kept))
        for index in range(num_steps - num_kept):
            state = adam_step(state, self._gradients.gradient(state.params, start.step + index), self._adam)
        for index in range(num_kept):
            if index % spacing == 0:
                self._borders.append(state)
            grad = self._gradient(state)
            self._stack.push(grad)
            state = adam_step(state, grad, self._adam)
        return state

    def walk_back(self) -> Iterator[InnerStep]:
        end = self._end
        while self._borders:
            state = self._borders.pop()
            grads = [self._stack.pop() for _ in range(state.step, end)]
            end = state.step
            states = [state]
            for grad in reversed(grads):
                states.append(adam_step(states[-1], grad, self._adam))
            grads.reverse()
            while grads:
                after, grad, before = states.pop(), grads.pop(), states[-1]
                graph = self._graphs.pop() if self._graphs else None
                yield InnerStep(before.step, before.params, grad, after, graph)
                del after, grad, before, graph

    def _gradient(self, state: AdamState) -> Tensor:
        if state.step < self._end - self._num_graphs:
            return self._gradients.gradient(state.params, state.step)
        graph = self._gradients.linearize(state.params, state.step)
        self._graphs.append(graph)
        return graph.grad


class CheckpointedTrajectory:
    """Keeps the state at the start of each piece of the loop, and walks the pieces back one after the other.

    Memory: 3 P a piece, and what walking one piece back takes. Time: each step outside the last piece is computed again.

    Args:
        gradients: what advances a state.
        adam: constants of the optimiser.
        num_pieces: how many pieces there are, at most.
        make_piece: makes the trajectory of one piece; may be a checkpointed one again.
    """

    def __init__(self, gradients: Gradients, adam: AdamConfig, num_pieces: int, make_piece: Callable[[], Trajectory]) -> None:
        self.replay_error = 0.0
        self._gradients = gradients
        self._adam = adam
        self._num_pieces = num_pieces
        self._make_piece = make_piece
        self._borders: list[AdamState] = []
        self._last_piece = make_piece()

    def run(self, start: AdamState, num_steps: int) -> AdamState:
        length = math.ceil(num_steps / self._num_pieces)
        num_before = math.ceil(num_steps / length) - 1
        state = start
        for _ in range(num_before):
            self._borders.append(state)
            for _ in range(length):
                state = adam_step(state, self._gradients.gradient(state.params, state.step), self._adam)
        self._borders.append(state)
        return self._last_piece.run(state, num_steps - num_before * length)

    def walk_back(self) -> Iterator[InnerStep]:
        yield from self._last_piece.walk_back()
        expected = self._borders.pop()
        while self._borders:
            start = self._borders.pop()
            piece = self._make_piece()
            end = piece.run(start, expected.step - start.step)
            self.replay_error = max(self.replay_error, relative_difference(end, expected))
            yield from piece.walk_back()
            self.replay_error = max(self.replay_error, piece.replay_error)
            expected = start


def relative_difference(state: AdamState, expected: AdamState) -> float:
    """Return the largest difference of parameters or moments, each relative to the largest expected entry."""
    largest = 0.0
    for name in ("params", "exp_avg", "exp_avg_sq"):
        value, reference = getattr(state, name), getattr(expected, name)
        scale = torch.clamp(reference.abs().max(), min=torch.finfo(reference.dtype).tiny)
        largest = max(largest, float((value - reference).abs().max() / scale))
    return largest
