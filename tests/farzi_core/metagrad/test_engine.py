"""What the engine promises beyond its numbers: untouched inputs, bounded memory, replay errors, no graph before the window."""

from __future__ import annotations

import weakref
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from farzi_core.metagrad.adam import AdamConfig, AdamState, adam_step, init_state
from farzi_core.metagrad.states import CheckpointedTrajectory, InnerStep, StoredTrajectory, Trajectory
from tests.farzi_core.metagrad.conftest import Problem, largest_error

METHODS = ("stored", "checkpointed", "truncated", "published", "unrolled")


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


def test_mixed_synthetic_dtypes_keep_their_own(shapes: Problem) -> None:
    shapes.synthetic["unused"] = shapes.synthetic["unused"].float()
    result = shapes.solve(num_inner_steps=2)
    assert result.synthetic["unused"].dtype == torch.float32
    assert result.synthetic["rows"].dtype == torch.float64


def test_steps_before_the_window_build_no_graph_to_the_synthetic_data(shapes: Problem) -> None:
    calls: list[tuple[int, bool]] = []

    def recording(params: dict[str, Tensor], synthetic: dict[str, Tensor], step: int) -> Tensor:
        calls.append((step, synthetic["rows"].requires_grad))
        return shapes.inner_loss(params, synthetic, step)

    replace(shapes, inner_loss=recording).solve(num_inner_steps=7, method="truncated", window=2)
    assert calls == [(step, False) for step in range(7)] + [(6, True), (5, True)]


def test_checkpointing_costs_one_more_pass_at_most(shapes: Problem) -> None:
    calls: list[int] = []

    def recording(params: dict[str, Tensor], synthetic: dict[str, Tensor], step: int) -> Tensor:
        calls.append(step)
        return shapes.inner_loss(params, synthetic, step)

    replace(shapes, inner_loss=recording).solve(num_inner_steps=16, method="checkpointed")
    assert len(calls) == 16 + 12 + 16  # forward, three of four segments again, products


def test_replay_error_is_zero_only_if_steps_can_be_made_again(shapes: Problem) -> None:
    calls = 0

    def drifting(params: dict[str, Tensor], synthetic: dict[str, Tensor], step: int) -> Tensor:
        nonlocal calls
        calls += 1
        return shapes.inner_loss(params, synthetic, step) * (1.0 + 1e-3 * calls)

    assert shapes.solve(num_inner_steps=12).replay_error == 0.0
    assert 1e-6 < replace(shapes, inner_loss=drifting).solve(num_inner_steps=12).replay_error < 1.0


class Counting:
    """Advances a toy loop, and counts the vectors it made that are still alive."""

    def __init__(self) -> None:
        self._made: list[weakref.ref[Tensor]] = []

    def advance(self, state: AdamState) -> InnerStep:
        grad = state.params * 2
        after = adam_step(state, grad, AdamConfig())
        self._made += [weakref.ref(value) for value in (grad, after.params, after.exp_avg, after.exp_avg_sq)]
        return InnerStep(state.step, state.params, grad, after)

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


@pytest.mark.parametrize("num_steps", [1, 2, 3, 10, 99, 100, 101])
def test_checkpointed_steps_are_all_met_again_in_memory_of_the_root(num_steps: int) -> None:
    counting = Counting()
    steps, peak = counting.walk(CheckpointedTrajectory(counting.advance), num_steps)
    assert steps == list(reversed(range(num_steps)))
    assert peak <= 7 * (num_steps**0.5 + 2)


def test_stored_steps_are_all_kept_and_a_window_keeps_its_own() -> None:
    everything, window = Counting(), Counting()
    assert everything.walk(StoredTrajectory(everything.advance), 100) == (list(range(99, -1, -1)), 400)
    steps, peak = window.walk(StoredTrajectory(window.advance, window=5), 100)
    assert steps == [99, 98, 97, 96, 95]
    assert peak <= 4 * 5 + 3
