"""What random real sequences are worth in the outer loop's own measure: the line that synthetic data have to rise above."""

from __future__ import annotations

from farzi_core.comparison_plan import hard_batch_size
from farzi_core.distillation.baselines.coresets import pick_random_sequences
from farzi_core.distillation.setting import Setting
from farzi_core.distillation.validation import measure_fresh_student
from farzi_core.evaluation.training import HardData


def measure_random_sequences(setting: Setting) -> float:
    """Return the best validation of a fresh student trained on random sequences, as many and as long as the synthetic ones.

    The student, its optimiser and its number of steps are those of every validation of the outer loop; in the comparison at
    the end learning rates are chosen for each side, so that its figures for random sequences differ.

    Cost: one validation of the outer loop.
    """
    spec = setting.spec
    events = pick_random_sequences(setting, spec.synthetic.num_sequences, spec.synthetic.length)
    data = HardData(events.to(setting.device), hard_batch_size(len(events), spec))
    return measure_fresh_student(setting, data, spec.inner.lr)
