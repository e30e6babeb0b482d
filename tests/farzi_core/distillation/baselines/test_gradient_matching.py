from __future__ import annotations

import pytest
import torch

from farzi_core.distillation.baselines.gradient_matching import GradientMatching, gradient_distance
from tests.farzi_core.distillation.baselines.prepared import point, prepare, start_probabilities


def test_distance_is_one_minus_cosine_of_every_matrix() -> None:
    a, b = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 1.0]])
    bias = torch.tensor([5.0])
    assert float(gradient_distance({"a": a, "b": b}, {"a": 3 * a, "b": b / 7})) == pytest.approx(0.0, abs=1e-6)
    assert float(gradient_distance({"a": a, "b": b}, {"a": -a, "b": a})) == pytest.approx(2.0 + 1.0 - 0.5**0.5)
    assert float(gradient_distance({"a": a, "c": bias, "d": a}, {"a": -a, "c": -bias, "d": None})) == pytest.approx(2.0)


def test_real_sequences_as_soft_tokens_have_no_distance() -> None:
    """The soft gradient of one-hot tokens is the hard one, so a batch matches itself at any student."""
    setting, teachers = prepare(precision="float64", outer={"batch_size": 1}, student={"max_length": 8})
    real = setting.real.pick(3, 8, torch.Generator().manual_seed(0))
    one_hot = torch.nn.functional.one_hot(real, setting.vocab_size).double()
    losses = [GradientMatching(setting, teachers).evaluate(point(one_hot, step)).loss for step in range(3)]
    assert all(loss > 0.1 for loss in losses)  # another batch is another direction
    setting.real.draw = lambda *_: real  # type: ignore[method-assign]
    losses = [GradientMatching(setting, teachers).evaluate(point(one_hot, step)).loss for step in range(3)]
    assert losses == pytest.approx([0.0, 0.0, 0.0], abs=1e-9)


def test_the_gradient_is_that_of_the_distance() -> None:
    # No inner steps before the match: those are not differentiated.
    setting, teachers = prepare(precision="float64", inner={"num_steps": 1, "min_steps": 1})
    objective = GradientMatching(setting, teachers)
    probabilities = start_probabilities(setting, teachers)
    direction = torch.randn(probabilities.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    size = 1e-6
    ahead, behind = (objective.evaluate(point(probabilities + sign * size * direction)).loss for sign in (1, -1))
    value = objective.evaluate(point(probabilities))
    assert float((value.adj_probabilities * direction).sum()) == pytest.approx((ahead - behind) / (2 * size), rel=1e-5)
    assert value.adj_lr is None


def test_students_of_several_ages_are_matched() -> None:
    setting, teachers = prepare(inner={"num_steps": 20, "lr": 0.05})
    probabilities = start_probabilities(setting, teachers)
    objective = GradientMatching(setting, teachers)
    trained, untrained = ([objective.evaluate(point(probabilities, step, lr)).loss for step in range(6)] for lr in (0.05, 1e-9))
    assert sum(ours != theirs for ours, theirs in zip(trained, untrained, strict=True)) >= 4
