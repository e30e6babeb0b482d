from __future__ import annotations

from typing import Any

import pytest
import torch

from farzi_core.distillation.baselines.trajectory_matching import TrajectoryMatching, list_pairs, squared_distance
from farzi_core.distillation.teachers import TeacherTrajectory
from farzi_core.errors import ConfigError
from farzi_core.students import soft_next_event_loss
from tests.farzi_core.distillation.baselines.prepared import point, prepare, start_probabilities


def trajectory(num_checkpoints: int) -> TeacherTrajectory:
    steps = tuple({"w": torch.tensor([float(i)])} for i in range(num_checkpoints))
    return TeacherTrajectory({"w": torch.tensor([99.0])}, steps)


def test_pairs_are_a_span_apart_and_a_short_trajectory_has_one() -> None:
    def numbers(num_checkpoints: int, span: int) -> list[tuple[float, float]]:
        pairs = list_pairs(trajectory(num_checkpoints), span)
        return [(float(start["w"]), float(target["w"])) for start, target in pairs]

    assert numbers(4, 1) == [(0, 1), (1, 2), (2, 3)]
    assert numbers(4, 2) == [(0, 2), (1, 3)]
    assert numbers(4, 4) == [(0, 99)]
    assert numbers(1, 1) == [(0, 99)]
    assert numbers(0, 1) == []


def test_the_loss_is_the_distance_after_the_steps_over_that_before() -> None:
    options: dict[str, Any] = {"baseline": {"trajectory_steps": 1, "trajectory_span": 1}, "inner": {"eps_root": 1e-8}}
    setting, teachers = prepare(**options, precision="float64")
    probabilities = start_probabilities(setting, teachers)
    start, target = teachers[0].checkpoints[:2]
    one_pair = TeacherTrajectory(teachers[0].best_params, (start, target))
    leaves = {name: value.clone().requires_grad_() for name, value in start.items()}
    grads = torch.autograd.grad(soft_next_event_loss(setting.student, leaves, probabilities), list(leaves.values()))
    num_params = sum(value.numel() for value in start.values())
    lr = (float(squared_distance(start, target)) / num_params) ** 0.5
    after = {
        name: start[name] - lr * grad / ((grad**2 + 1e-8).sqrt() + 1e-8)  # Adam's first step
        for name, grad in zip(start, grads, strict=True)
    }
    expected = squared_distance(after, target) / squared_distance(start, target)
    assert TrajectoryMatching(setting, [one_pair]).evaluate(point(probabilities)).loss == pytest.approx(float(expected))


def test_the_student_goes_as_far_as_the_teacher_did() -> None:
    setting, teachers = prepare()
    far = teachers[0].checkpoints[0]
    probabilities = start_probabilities(setting, teachers)
    for distance in (1e-3, 1e3):
        target = {name: value + distance for name, value in far.items()}
        pair = TeacherTrajectory(target, (far, *[target] * 4))
        # Steps in a direction of their own: at most 4 times the distance, had they gone the other way.
        assert 0.1 < TrajectoryMatching(setting, [pair]).evaluate(point(probabilities)).loss < 4.0


def test_pairs_are_drawn_anew() -> None:
    setting, teachers = prepare(baseline={"trajectory_span": 1})
    objective = TrajectoryMatching(setting, teachers)
    probabilities = start_probabilities(setting, teachers)
    assert len({objective.evaluate(point(probabilities, step)).loss for step in range(4)}) > 1


def test_the_gradient_is_that_of_the_loss() -> None:
    setting, teachers = prepare(precision="float64", baseline={"trajectory_steps": 4})
    objective = TrajectoryMatching(setting, teachers)
    probabilities = start_probabilities(setting, teachers)
    direction = torch.randn(probabilities.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    direction -= direction.mean(-1, keepdim=True)  # soft tokens keep their sum
    size = 1e-6
    ahead, behind = (objective.evaluate(point(probabilities + sign * size * direction)).loss for sign in (1, -1))
    value = objective.evaluate(point(probabilities))
    assert float((value.adj_probabilities * direction).sum()) == pytest.approx((ahead - behind) / (2 * size), rel=1e-5)
    assert value.adj_lr is None


def test_teachers_without_checkpoints_are_refused() -> None:
    setting, teachers = prepare()
    with pytest.raises(ConfigError, match="needs teachers with checkpoints") as caught:
        TrajectoryMatching(setting, [TeacherTrajectory(teachers[0].best_params, ())])
    assert caught.value.pointer == "/evaluation/baselines"
