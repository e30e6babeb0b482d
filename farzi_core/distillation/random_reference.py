"""What random real sequences are worth in the outer loop's own measure: the line that synthetic data have to rise above."""

from __future__ import annotations

from farzi_core.distillation.baselines.coresets import pick_random_sequences
from farzi_core.distillation.setting import Setting
from farzi_core.evaluation.training import HardData, StudentTraining, TrainingPlan
from farzi_core.work_plan import LOOKS_PER_VALIDATION


def measure_random_sequences(setting: Setting) -> float:
    """Return the best validation of a fresh student trained on random sequences, as many and as long as the synthetic ones.

    The student, its optimiser and its number of steps are those of every validation of the outer loop; in the comparison at
    the end learning rates are chosen for each side, so that its figures for random sequences differ.

    Cost: one validation of the outer loop.
    """
    spec = setting.spec
    plan = TrainingPlan(setting.inner_adam(spec.inner.lr), spec.inner.num_steps, LOOKS_PER_VALIDATION, None, setting.metric)
    events = pick_random_sequences(setting, spec.synthetic.num_sequences, spec.synthetic.sequence_length)
    training = StudentTraining(
        setting.student,
        HardData(events.to(setting.device), spec.inner.batch_size or spec.synthetic.num_sequences),
        setting.validation,
        plan,
        seed=spec.seed,
        purpose=("outer_validation",),
        dtype=setting.dtype,
        device=setting.device,
    )
    while not training.finished:
        training.advance()
    assert training.best_value is not None
    return training.best_value
