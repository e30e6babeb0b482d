"""Teachers: students trained on real data. They give the space a start lives in, and start parameters of inner loops."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass

from farzi_core.distillation.checkpoint import Checkpoint
from farzi_core.distillation.param_sets import pack_param_sets, unpack_param_sets
from farzi_core.distillation.setting import Setting
from farzi_core.evaluation.training import RealData, StudentTraining, TrainingPlan, TrainingStep
from farzi_core.metagrad import AdamConfig
from farzi_core.students import Params

REAL_BETAS = (0.9, 0.999)


@dataclass(frozen=True)
class TeacherTrajectory:
    """One training on real data.

    Attributes:
        best_params: parameters of the best validation.
        checkpoints: parameters along the way, the untrained ones first; empty unless the spec needs them.
    """

    best_params: Params
    checkpoints: tuple[Params, ...]


def real_adam(lr: float) -> AdamConfig:
    """Return the optimiser of trainings on real data: Adam's usual constants."""
    return AdamConfig(lr, REAL_BETAS, eps_root=0.0)


def real_plan(setting: Setting, lr: float) -> TrainingPlan:
    """Return the rule of trainings on real data."""
    teacher = setting.spec.teacher
    return TrainingPlan(
        real_adam(lr), teacher.num_steps, setting.spec.evaluation.num_validations, teacher.patience, setting.metric
    )


def real_data(setting: Setting) -> RealData:
    """Return real data in the batches that trainings on it take."""
    spec = setting.spec
    return RealData(setting.real, spec.teacher.batch_size, spec.student.max_length, setting.device)


class TeacherTraining:
    """One teacher's training, advanced step by step.

    Args:
        setting: data and student.
        index: which of the teachers.
    """

    def __init__(self, setting: Setting, index: int) -> None:
        spec = setting.spec
        self.training = StudentTraining(
            setting.student,
            real_data(setting),
            setting.validation,
            real_plan(setting, spec.teacher.lr),
            seed=spec.seed,
            purpose=("teacher", index),
            dtype=setting.dtype,
            device=setting.device,
        )
        self._keeps_checkpoints = spec.needs_trajectories
        self._keep_every = math.ceil(spec.teacher.num_steps / spec.teacher.num_checkpoints)
        self._checkpoints: list[Params] = [self.training.params] if self._keeps_checkpoints else []

    @property
    def finished(self) -> bool:
        return self.training.finished

    def advance(self) -> TrainingStep:
        """Take one step."""
        result = self.training.advance()
        if self._keeps_checkpoints and result.step % self._keep_every == 0:
            self._checkpoints.append(self.training.params)
        return result

    def trajectory(self) -> TeacherTrajectory:
        """Return what has been trained so far."""
        return TeacherTrajectory(self.training.best_params, tuple(self._checkpoints))

    def checkpoint(self) -> Checkpoint:
        """Return the state between two steps."""
        parts = {"training": self.training.checkpoint(), "checkpoints": pack_param_sets(self._checkpoints)}
        return Checkpoint.join(parts)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a state that :meth:`checkpoint` returned."""
        self.training.restore(checkpoint.part("training"))
        self._checkpoints = unpack_param_sets(checkpoint.part("checkpoints"), self.training.params)


def train_teacher(setting: Setting, index: int = 0) -> Generator[TrainingStep, None, TeacherTrajectory]:
    """Train one teacher from start to end; its trajectory is the generator's return value."""
    teacher = TeacherTraining(setting, index)
    while not teacher.finished:
        yield teacher.advance()
    return teacher.trajectory()


def pack_trajectory(trajectory: TeacherTrajectory) -> Checkpoint:
    """Return a finished trajectory as a checkpoint."""
    return pack_param_sets([trajectory.best_params, *trajectory.checkpoints])


def unpack_trajectory(checkpoint: Checkpoint, like: Params) -> TeacherTrajectory:
    """Return the trajectory that :func:`pack_trajectory` packed; ``like`` gives names, order and device."""
    best, *checkpoints = unpack_param_sets(checkpoint, like)
    return TeacherTrajectory(best, tuple(checkpoints))
