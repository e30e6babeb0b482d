"""The outer loop's own measure: what one fresh student, the same at every validation, learns from some data."""

from __future__ import annotations

from farzi_core.distillation.setting import Setting
from farzi_core.evaluation.training import StudentTraining, TrainingData, TrainingPlan
from farzi_core.work_plan import LOOKS_PER_VALIDATION


def plan_validation(setting: Setting, lr: float) -> TrainingPlan:
    """Return the rule of a validation: as many steps as the longest inner loop, at an inner learning rate."""
    return TrainingPlan(setting.inner_adam(lr), setting.spec.inner.num_steps, LOOKS_PER_VALIDATION, None, setting.metric)


def measure_fresh_student(setting: Setting, data: TrainingData, plan: TrainingPlan) -> float:
    """Return the best look of a fresh student trained on ``data``.

    Cost: ``plan.max_steps`` training steps and the looks.
    """
    training = StudentTraining(
        setting.student,
        data,
        setting.validation,
        plan,
        seed=setting.spec.seed,
        purpose=("outer_validation",),
        dtype=setting.dtype,
        device=setting.device,
    )
    while not training.finished:
        training.advance()
    assert training.best_value is not None
    return training.best_value
