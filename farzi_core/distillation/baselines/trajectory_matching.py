"""Trajectory matching (MTT): synthetic data that move a student to where real data moved a teacher.

From a random checkpoint w*_t of a teacher, N Adam steps on the synthetic data end at w; M checkpoints later the teacher was at
w*_{t+M}, or, where its trajectory is shorter, at its best parameters:

    loss = || w - w*_{t+M} ||^2 / || w*_t - w*_{t+M} ||^2

All N steps are differentiated, exactly. The paper's inner optimiser is gradient descent with a learned rate. Here it is the
spec's Adam, at the rate with which N steps of full size in all P parameters go as far as the teacher did,

    lr = || w*_t - w*_{t+M} || / (N sqrt(P))

because a student at ``inner.lr`` overshoots: a teacher's steps are noisy, and late ones lead nowhere. Source: Cazenavette et
al. 2022, arXiv 2203.11932.

Cost of an outer step: N inner gradients and N second-order products.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from farzi_core.distillation.baselines.learned import ObjectiveValue
from farzi_core.distillation.draws import PROBABILITIES, make_inner_loss
from farzi_core.distillation.outer_point import OuterPoint
from farzi_core.distillation.setting import Setting
from farzi_core.distillation.teachers import TeacherTrajectory
from farzi_core.errors import ConfigError
from farzi_core.metagrad import compute_meta_gradient
from farzi_core.seeding import derive_generator
from farzi_core.students import Params


class TrajectoryMatching:
    """The normalised distance to a teacher's later parameters.

    Raises:
        ConfigError: the teachers have no checkpoints.
    """

    pool = None
    has_lr_gradient = False

    def __init__(self, setting: Setting, teachers: Sequence[TeacherTrajectory]) -> None:
        if not any(teacher.checkpoints for teacher in teachers):
            raise ConfigError(
                "baseline 'trajectory_matching' needs teachers with checkpoints, and none has any; train them with it in "
                "evaluation.baselines",
                pointer="/evaluation/baselines",
            )
        self._setting = setting
        span = setting.spec.baseline.trajectory_span
        self._pairs = [pair for teacher in teachers for pair in list_pairs(teacher, span)]

    def evaluate(self, point: OuterPoint) -> ObjectiveValue:
        spec = self._setting.spec
        generator = derive_generator(spec.seed, "trajectory_matching_pair", point.step)
        start, target = self._pairs[int(torch.randint(len(self._pairs), (1,), generator=generator))]
        moved = squared_distance(start, target)
        num_steps = spec.baseline.trajectory_steps
        num_params = sum(value.numel() for value in start.values())
        lr = float(moved.sqrt()) / (num_steps * math.sqrt(num_params))

        def outer_loss(params: Params) -> Tensor:
            return squared_distance(params, target) / moved

        meta = compute_meta_gradient(
            make_inner_loss(self._setting, point.step, point.input_events),
            outer_loss,
            start,
            {PROBABILITIES: point.probabilities},
            self._setting.inner_adam(lr),
            num_inner_steps=num_steps,
            method="checkpointed",
        )
        return ObjectiveValue(float(meta.outer_loss), meta.synthetic[PROBABILITIES])


def list_pairs(teacher: TeacherTrajectory, span: int) -> list[tuple[Params, Params]]:
    """Return every checkpoint with the one ``span`` later; the first with the best parameters where none is that late."""
    checkpoints = teacher.checkpoints
    pairs = list(zip(checkpoints, checkpoints[span:], strict=False))
    return pairs or [(params, teacher.best_params) for params in checkpoints[:1]]


def squared_distance(params: Params, others: Params) -> Tensor:
    """Return the squared Euclidean distance of two parameter sets, a scalar."""
    return torch.stack([(value - others[name]).square().sum() for name, value in params.items()]).sum()
