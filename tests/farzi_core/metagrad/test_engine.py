"""What the engine promises beyond its numbers: untouched inputs, bounded memory, replay errors, no graph before the window."""

from __future__ import annotations

import gc
import math
import weakref
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from farzi_core.metagrad.adam import AdamConfig, adam_step, init_state
from farzi_core.metagrad.budget import num_spare_graphs
from farzi_core.metagrad.hvp import Linearization
from farzi_core.metagrad.states import CheckpointedTrajectory, StoredTrajectory, Trajectory, relative_difference
from tests.farzi_core.metagrad.conftest import Problem, Tensors, largest_error

METHODS = ("stored", "offloaded", "checkpointed", "reversed", "truncated", "published", "unrolled")


@pytest.mark.parametrize("method", METHODS)
def test_inputs_are_untouched_and_outputs_carry_no_graph(shapes: Problem, method: str) -> None:
    for value in (*shapes.start_params.values(), *shapes.synthetic.values()):
        value.requires_grad_()
    before = {name: value.detach().clone() for name, value in {**shapes.start_params, **shapes.synthetic}.items()}
    result = shapes.solve(num_inner_steps=4, method=method, window=2)
    for name, value in {**shapes.start_params, **shapes.synthetic}.items():
        assert torch.equal(value, before[name])
        assert value.grad is None
    tensors = [
        *result.synthetic.values(),
        *result.start_params.values(),
        *result.final_params.values(),
        result.lr,
        result.outer_loss,
    ]
    assert not any(tensor.requires_grad for tensor in tensors)
    pointers = {value.untyped_storage().data_ptr() for value in (*shapes.start_params.values(), *shapes.synthetic.values())}
    assert not pointers & {tensor.untyped_storage().data_ptr() for tensor in tensors}


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_the_callers_gradient_mode_does_not_matter(shapes: Problem, context: type[torch.no_grad]) -> None:
    expected = shapes.solve(num_inner_steps=4)
    with context():
        inside = replace(shapes, synthetic={name: value.clone() for name, value in shapes.synthetic.items()})
        result = inside.solve(num_inner_steps=4)
    assert largest_error(result, expected) == 0.0


@pytest.mark.parametrize("method", METHODS)
def test_what_a_run_used_ends_with_it(shapes: Problem, method: str) -> None:
    """Not when Python next looks for cycles: a copy of the synthetic data may be larger than all else."""
    used: list[weakref.ref[Any]] = []

    def inner_loss(params: Tensors, synthetic: Tensors, step: int) -> Tensor:
        used.extend(weakref.ref(value) for value in synthetic.values())
        return shapes.inner_loss(params, synthetic, step)

    # Who keeps the loss keeps the copy that it is given.
    used.append(weakref.ref(inner_loss))

    gc.collect()
    gc.disable()
    try:
        replace(shapes, inner_loss=inner_loss).solve(num_inner_steps=6, method=method, window=2)
        del inner_loss
        assert len(used) > 1
        assert not any(value() is not None for value in used)
    finally:
        gc.enable()


def test_mixed_synthetic_dtypes_keep_their_own(shapes: Problem) -> None:
    shapes.synthetic["unused"] = shapes.synthetic["unused"].float()
    result = shapes.solve(num_inner_steps=2)
    assert result.synthetic["unused"].dtype == torch.float32
    assert result.synthetic["rows"].dtype == torch.float64


def record_steps(problem: Problem) -> tuple[Problem, list[tuple[int, bool]]]:
    """Return the problem, and the list that its inner loss adds to: which step, and with a graph to the synthetic data?"""
    calls: list[tuple[int, bool]] = []

    def recording(params: dict[str, Tensor], synthetic: dict[str, Tensor], step: int) -> Tensor:
        calls.append((step, synthetic["rows"].requires_grad))
        return problem.inner_loss(params, synthetic, step)

    return replace(problem, inner_loss=recording), calls


def test_steps_before_the_window_build_no_graph_to_the_synthetic_data(shapes: Problem) -> None:
    recorded, calls = record_steps(shapes)
    recorded.solve(num_inner_steps=7, method="truncated", window=2)
    # The first one measures a graph; the window is short, so that both of its graphs are kept.
    assert calls == [(0, True)] + [(step, False) for step in range(1, 5)] + [(5, True), (6, True)]


def test_steps_of_a_window_as_long_as_the_loop_keep_few_graphs(shapes: Problem) -> None:
    recorded, calls = record_steps(shapes)
    recorded.solve(num_inner_steps=60, method="truncated", window=50)
    assert [step for step, has_graph in calls if has_graph] == [0, 58, 59, *reversed(range(10, 58))]


def test_checkpointing_costs_one_more_pass_at_most_and_keeps_the_graph_it_uses_next(shapes: Problem) -> None:
    recorded, calls = record_steps(shapes)
    result = recorded.solve(num_inner_steps=99, method="checkpointed")
    # Forward, whose first gradient measures a graph; eight of nine pieces again; and products of all but the last step of
    # each piece.
    assert len(calls) == 99 + 8 * 11 + 9 * (11 - 1)
    assert result.replay_error == 0.0


@pytest.mark.parametrize(
    ("num_steps", "graph_bytes", "expected"),
    [(1, 1, 0), (10, 1, 9), (20, 1, 4), (50, 1, 1), (51, 1, 0), (1000, 1, 0), (20, 2**27, 2), (20, 2**29, 0), (20, 0, 4)],
)
def test_spare_graphs_are_those_of_short_loops_that_take_little(num_steps: int, graph_bytes: int, expected: int) -> None:
    assert num_spare_graphs(num_steps, graph_bytes) == expected


def with_a_large_graph(problem: Problem) -> Problem:
    """Return the problem with a graph that outweighs the states of some steps."""
    heavy = torch.linspace(0.0, 1.0, 100_000, dtype=torch.float64)

    def inner_loss(params: dict[str, Tensor], synthetic: dict[str, Tensor], step: int) -> Tensor:
        return problem.inner_loss(params, synthetic, step) + (params["matrix"].sum() * heavy).tanh().square().mean()

    return replace(problem, inner_loss=inner_loss)


def test_checkpointing_replays_nothing_where_all_steps_take_less_than_one_graph(shapes: Problem) -> None:
    recorded, calls = record_steps(with_a_large_graph(shapes))
    result = recorded.solve(num_inner_steps=60, method="checkpointed")
    assert [step for step, _ in calls] == [*range(60), *reversed(range(59))]
    assert result.replay_error == 0.0


@pytest.mark.parametrize("method", ["stored", "offloaded", "checkpointed"])
def test_ten_steps_keep_all_their_graphs_and_compute_nothing_twice(shapes: Problem, method: str) -> None:
    recorded, calls = record_steps(with_a_large_graph(shapes))
    recorded.solve(num_inner_steps=10, method=method)
    assert [step for step, _ in calls] == list(range(10))


def test_reversed_computes_every_step_twice(shapes: Problem) -> None:
    recorded, calls = record_steps(shapes)
    recorded.solve(num_inner_steps=9, method="reversed")
    assert [step for step, _ in calls] == [*range(9), *reversed(range(8))]


def test_replay_error_is_zero_only_if_steps_can_be_made_again(shapes: Problem) -> None:
    calls = 0

    def drifting(params: dict[str, Tensor], synthetic: dict[str, Tensor], step: int) -> Tensor:
        nonlocal calls
        calls += 1
        return shapes.inner_loss(params, synthetic, step) * (1.0 + 1e-3 * calls)

    assert shapes.solve(num_inner_steps=12).replay_error == 0.0
    assert 1e-6 < replace(shapes, inner_loss=drifting).solve(num_inner_steps=12).replay_error < 1.0


class Doubling:
    """A toy inner gradient that counts the vectors it made and that are still alive, and those of states made from them."""

    def __init__(self) -> None:
        self._made: list[weakref.ref[Tensor]] = []

    def gradient(self, params: Tensor, step: int) -> Tensor:
        grad = params * (2 + step % 3)
        self._made += [weakref.ref(grad), weakref.ref(params)]
        return grad

    def linearize(self, params: Tensor, step: int) -> Linearization:
        return Known(self.gradient(params, step))

    def count(self) -> int:
        return sum(1 for made in self._made if made() is not None)

    def walk(self, trajectory: Trajectory, num_steps: int) -> tuple[list[int], int]:
        """Return the steps in the order they are met on the way back, and the most vectors alive at any of them."""
        trajectory.run(init_state(torch.ones(3)), num_steps)
        steps, peak = [], self.count()
        for step in trajectory.walk_back():
            steps.append(step.step)
            peak = max(peak, self.count())
        return steps, peak


class Known:
    """A linearization of which only the gradient is used."""

    def __init__(self, grad: Tensor) -> None:
        self.grad = grad

    def multiply(self, direction: Tensor, adj_synthetic: dict[str, Tensor]) -> tuple[Tensor, set[str]]:
        return direction, set()


def stored(gradients: Doubling, window: int | None = None) -> StoredTrajectory:
    return StoredTrajectory(gradients, AdamConfig(), window=window)


@pytest.mark.parametrize("num_steps", [1, 2, 3, 10, 99, 100, 101])
def test_checkpointed_steps_are_all_met_again_in_memory_of_the_root(num_steps: int) -> None:
    gradients = Doubling()
    pieces = max(1, math.isqrt(num_steps))
    trajectory = CheckpointedTrajectory(gradients, AdamConfig(), pieces, lambda: stored(gradients))
    steps, peak = gradients.walk(trajectory, num_steps)
    assert steps == list(reversed(range(num_steps)))
    assert peak <= 3 * num_steps**0.5 + 6
    assert trajectory.replay_error == 0.0


def test_pieces_may_be_split_again() -> None:
    gradients = Doubling()

    def piece() -> CheckpointedTrajectory:
        return CheckpointedTrajectory(gradients, AdamConfig(), 4, lambda: stored(gradients))

    trajectory = CheckpointedTrajectory(gradients, AdamConfig(), 4, piece)
    steps, peak = gradients.walk(trajectory, 61)
    assert steps == list(reversed(range(61)))
    assert peak <= 24
    assert trajectory.replay_error == 0.0


def test_stored_steps_are_all_met_again_and_a_window_keeps_its_own() -> None:
    everything, window = Doubling(), Doubling()
    steps, peak = everything.walk(stored(everything), 100)
    assert steps == list(reversed(range(100)))
    assert 100 <= peak <= 100 + 2 * 10 + 3
    steps, peak = window.walk(stored(window, window=5), 100)
    assert steps == [99, 98, 97, 96, 95]
    assert peak <= 5 + 6


def test_states_made_again_have_the_same_bits() -> None:
    gradients, adam, states = Doubling(), AdamConfig(), [init_state(torch.rand(5))]
    for step in range(13):
        states.append(adam_step(states[-1], gradients.gradient(states[-1].params, step), adam))
    trajectory = stored(gradients)
    trajectory.run(states[0], 13)
    for met in trajectory.walk_back():
        assert torch.equal(met.params, states[met.step].params)
        assert relative_difference(met.after, states[met.step + 1]) == 0.0
