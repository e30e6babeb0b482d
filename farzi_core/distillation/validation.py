"""The outer loop's own measure: what one fresh student, the same at every validation, learns from some data."""

from __future__ import annotations

from farzi_core.allocator import freed_memory_kept
from farzi_core.distillation.setting import Setting
from farzi_core.evaluation.training import StudentTraining, TrainingData, TrainingPlan
from farzi_core.work_plan import LOOKS_PER_VALIDATION


def measure_fresh_student(setting: Setting, data: TrainingData, lr: float) -> float:
    """Return the best look of a fresh student trained on ``data`` at an inner learning rate.

    Cost: ``outer.validation_steps`` training steps, and the looks.
    """
    num_steps = setting.spec.outer.validation_steps
    assert num_steps is not None, "a setting has no choices left"
    plan = TrainingPlan(setting.inner_adam(lr), num_steps, LOOKS_PER_VALIDATION, None, setting.metric)
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
    with freed_memory_kept(large_blocks=True):
        while not training.finished:
            training.advance()
    assert training.best_value is not None
    return training.best_value
