"""How long every piece of a job takes on a machine, before anything of it is computed. Imports no torch.

Trainings stop when validation says so, so their length is an expectation; everything else follows from spec and data.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from farzi_core.batch_sizes import synthetic_batch_size
from farzi_core.comparison_plan import (
    HARD,
    TrainingKey,
    hard_batch_size,
    is_soft,
    list_learned_baselines,
    list_trainings,
    max_training_steps,
    num_training_sequences,
    trains_as_teacher,
)
from farzi_core.config import Baseline, DataSummary, DistillationSpec, StudentConfig
from farzi_core.costs import METHOD_FACTORS, MIXED_SHARE, REFERENCE, Calibration, Speed, count_look, count_training_step
from farzi_core.data_choices import inner_steps, num_outer_steps, pool_max_steps, pool_size
from farzi_core.hard_rules import SOFT_TOKENS_ALONE, list_rules

LOOKS_PER_VALIDATION = 10
HARD_SEQUENCES = "hard_sequences"
_WITH_INNER_LOOPS: tuple[Baseline, ...] = ("gradient_matching", "first_order")
# What the reader of texts holds out, unless it is told otherwise.
_TEXT_SHARE = 0.1
# The longest of a batch of histories, over their mean: lengths that fall off exponentially have 5.4 in 128 (harmonic sum).
_LONGEST_OF_BATCH = 5.4


@dataclass(frozen=True)
class WorkSize:
    """What of the data decides how long a job takes; histories are as long as a window where nothing else is said."""

    vocab_size: int
    num_validation_cases: int
    num_test_cases: int
    is_text: bool
    mean_history: float = inf

    @classmethod
    def of(cls, data: DataSummary, spec: DistillationSpec) -> WorkSize:
        """Return the sizes that a data set will have once it is split, about."""
        is_text = data.task == "language_modeling"
        windows = max(1, round(_TEXT_SHARE * data.num_events / spec.student.max_length))
        cases = windows if is_text else data.num_sequences
        validation_cases = min(cases, spec.evaluation.max_validation_cases or cases)
        return cls(data.vocab_size, validation_cases, cases, is_text, data.mean_history)


class StepTimes:
    """Seconds of each kind of step.

    Args:
        spec: the complete spec.
        size: of the data.
        calibration: of the machine.
    """

    def __init__(self, spec: DistillationSpec, size: WorkSize, calibration: Calibration = REFERENCE) -> None:
        self._spec, self._size, self._calibration = spec, size, calibration

    @property
    def real_step(self) -> float:
        """A training step of the spec's own student on real data, its share of looks at validation included."""
        return self._real_step(self._spec.student)

    @property
    def outer_step(self) -> float:
        """The mean outer step, its share of a validation included."""
        spec = self._spec
        num_steps = _mean_inner_steps(spec)
        window = min(num_steps, spec.meta_gradient.num_differentiated(inner_steps(spec)[1]))
        reverse = self._speed(spec.student).reverse_factor * METHOD_FACTORS.get(spec.meta_gradient.method, 1.0)
        return self._inner_step * (num_steps + reverse * window) + self._real_batch + self._validation_share

    @property
    def validation(self) -> float:
        """One validation of the outer loop."""
        spec = self._spec
        num_steps = spec.outer.validation_steps or inner_steps(spec)[1]
        return self._inner_step * num_steps + LOOKS_PER_VALIDATION * self._look(spec.student)

    @property
    def pool(self) -> float:
        """What a pool of students takes to begin with; 0 where there is none."""
        size = pool_size(self._spec)
        return self._inner_step * pool_max_steps(self._spec) * (size - 1) / size if size > 0 else 0.0

    def baseline_step(self, baseline: Baseline) -> float:
        """The mean outer step of a learned baseline."""
        spec = self._spec
        num_steps, reverse = _mean_inner_steps(spec), self._speed(spec.student).reverse_factor
        window = min(num_steps, spec.meta_gradient.num_differentiated(inner_steps(spec)[1]))
        # In inner steps; trajectory_matching alone has no real batch.
        num_inner = {
            "gradient_matching": _mean_longest_inner_loop(spec) / 2 + MIXED_SHARE * reverse,
            "distribution_matching": 1.0,
            "trajectory_matching": spec.baseline.trajectory_steps * (1.0 + reverse),
            "first_order": num_steps + MIXED_SHARE * reverse * window,
        }[baseline]
        real = 0.0 if baseline == "trajectory_matching" else self._real_batch
        return self._inner_step * num_inner + real + self._validation_share

    def comparison_step(self, key: TrainingKey) -> float:
        """The mean step of a training of the comparison, its share of looks included."""
        spec, student = self._spec, self._student(key)
        if trains_as_teacher(key.side):
            return self._real_step(student)
        soft, num_sequences = is_soft(key.side), num_training_sequences(key.side, spec)
        batch = synthetic_batch_size(spec) if soft else hard_batch_size(num_sequences, spec)
        step = self._training(student, batch, spec.synthetic.length, soft=soft)
        return step + self._look(student) * _looks_per_step(spec, max_training_steps(key.side, spec))

    @property
    def hard_trial_step(self) -> float:
        """A training step of a student that tries a rule for hard sequences, as it will be in the comparison."""
        return self.comparison_step(TrainingKey(self._spec.student.architecture, HARD, 0, 1.0))

    @property
    def prepared_draw(self) -> float:
        """One draw of every synthetic sequence, with teachers: as many looks at them as there are positions, half as long."""
        spec = self._spec
        looks = (spec.teacher.num_trajectories or 1) * spec.synthetic.length / 2
        return self._look(spec.student, spec.synthetic.num_sequences) * looks

    def test(self, key: TrainingKey) -> float:
        """The one look at the test cases that ends a training of the comparison."""
        return self._look(self._student(key), self._size.num_test_cases)

    @property
    def startup(self) -> float:
        """From the start of a run to its first step."""
        return self._calibration.startup_s

    @property
    def artifacts(self) -> float:
        """Writing the result."""
        return self._calibration.report_s

    def _student(self, key: TrainingKey) -> StudentConfig:
        return self._spec.student.model_copy(update={"architecture": key.architecture})

    def _speed(self, student: StudentConfig) -> Speed:
        return self._calibration.speeds[student.architecture]

    def _training(self, student: StudentConfig, batch: int, length: int, *, soft: bool) -> float:
        work = count_training_step(student, self._size.vocab_size, batch, length, soft=soft)
        return self._speed(student).training_s(work)

    def _real_training(self, student: StudentConfig, batch: int) -> float:
        mean = min(float(student.max_length), self._size.mean_history)
        longest = min(float(student.max_length), _LONGEST_OF_BATCH * self._size.mean_history)
        work = count_training_step(student, self._size.vocab_size, batch, longest, soft=False, mean_length=mean)
        return self._speed(student).training_s(work)

    def _look(self, student: StudentConfig, num_cases: int | None = None) -> float:
        cases = self._size.num_validation_cases if num_cases is None else num_cases
        work = count_look(student, self._size.vocab_size, cases, scores_every_event=self._size.is_text)
        return self._speed(student).look_s(work)

    def _real_step(self, student: StudentConfig) -> float:
        spec = self._spec
        step = self._real_training(student, spec.teacher.batch_size)
        return step + self._look(student) * _looks_per_step(spec, spec.teacher.num_steps)

    @property
    def _inner_step(self) -> float:
        spec = self._spec
        batch = synthetic_batch_size(spec)
        return self._training(spec.student, batch, spec.synthetic.length, soft=True)

    @property
    def _real_batch(self) -> float:
        return self._real_training(self._spec.student, self._spec.outer.batch_size)

    @property
    def _validation_share(self) -> float:
        return self.validation / self._spec.outer.validate_every


def plan_distillation(spec: DistillationSpec, times: StepTimes) -> dict[str, float]:
    """Return the seconds of every piece of a distillation, by name."""
    return {
        "teacher": _plan_teachers(spec, times) if spec.needs_teacher else 0.0,
        "distillation": _plan_loop(times.outer_step, num_outer_steps(spec), times)
        + times.pool
        + _plan_random_reference(spec, times),
        HARD_SEQUENCES: _plan_hard_sequences(spec, times),
        **_plan_judging(spec, times),
        "artifacts": times.artifacts,
    }


def plan_evaluation(spec: DistillationSpec, times: StepTimes) -> dict[str, float]:
    """Return the seconds of every piece of an evaluation; only learned baselines need a teacher."""
    return {
        "teacher": _plan_teachers(spec, times) if list_learned_baselines(spec) and spec.needs_teacher else 0.0,
        **_plan_judging(spec, times),
        "artifacts": times.artifacts,
    }


def expected_steps(side: str, spec: DistillationSpec) -> int:
    """Return how long a side's trainings are expected to be: on synthetic data until patience would run out a second time."""
    evaluation, max_steps = spec.evaluation, max_training_steps(side, spec)
    if trains_as_teacher(side):
        return max_steps
    every = max(1, max_steps // evaluation.num_validations)
    return min(max_steps, 2 * evaluation.patience * every)


def _plan_teachers(spec: DistillationSpec, times: StepTimes) -> float:
    return times.real_step * spec.teacher.num_steps * (spec.teacher.num_trajectories or 1)


def _plan_hard_sequences(spec: DistillationSpec, times: StepTimes) -> float:
    """Return the seconds of trying rules, and of the draws, which every rule but one makes with teachers."""
    rules = list_rules(spec)
    if rules == (SOFT_TOKENS_ALONE,):
        return 0.0
    tried = [rule for rule in rules if rule != SOFT_TOKENS_ALONE]
    trials = len(rules) * expected_steps(HARD, spec) * times.hard_trial_step if len(rules) > 1 else 0.0
    drawn = spec.hard_sequences.prepared_draws + (len(tried) * spec.evaluation.hard_draws if len(rules) > 1 else 0)
    return trials + drawn * times.prepared_draw


def _plan_loop(step_s: float, num_steps: int, times: StepTimes) -> float:
    """Return the seconds of a loop over synthetic data, the validation of its start included."""
    return step_s * num_steps + times.validation


def _plan_random_reference(spec: DistillationSpec, times: StepTimes) -> float:
    return times.validation if "random" in spec.evaluation.baselines else 0.0


def _plan_judging(spec: DistillationSpec, times: StepTimes) -> dict[str, float]:
    planned: dict[str, float] = {
        name: _plan_loop(times.baseline_step(name), spec.baseline.num_steps or num_outer_steps(spec), times)
        + (times.pool if name in _WITH_INNER_LOOPS else 0.0)
        for name in list_learned_baselines(spec)
    }
    for key in list_trainings(spec):
        planned[key.name] = times.comparison_step(key) * expected_steps(key.side, spec) + times.test(key)
    return planned


def _mean_inner_steps(spec: DistillationSpec) -> float:
    """Return the mean T over the outer loop."""
    return (inner_steps(spec)[0] + _mean_longest_inner_loop(spec)) / 2


def _mean_longest_inner_loop(spec: DistillationSpec) -> float:
    """Return the mean of the largest T over the outer loop: while it grows, it is halfway between its ends on average."""
    shortest, longest = inner_steps(spec)
    return longest - (longest - shortest) * (spec.inner.growth or 0.0) / 2


def _looks_per_step(spec: DistillationSpec, max_steps: int) -> float:
    return min(1.0, spec.evaluation.num_validations / max_steps)
