"""The stages of pipelines: training teachers, choosing and drawing hard sequences, and judging synthetic data.

A stage advances step by step; whatever it yielded last, its checkpoint goes on from there. Steps are yielded as a number
that rises through the stage, with metrics.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from farzi_core.allocator import freed_memory_kept
from farzi_core.comparison_plan import TrainingKey
from farzi_core.config import Baseline
from farzi_core.data.splits import HeldOutStream
from farzi_core.distillation.baselines import BaselineStep, LearnedBaselines
from farzi_core.distillation.checkpoint import Checkpoint
from farzi_core.distillation.descent import Distilled
from farzi_core.distillation.hard_sequences import HardSequences
from farzi_core.distillation.setting import Setting
from farzi_core.distillation.teachers import TeacherTraining, TeacherTrajectory, pack_trajectory, unpack_trajectory
from farzi_core.evaluation.comparison import Comparison
from farzi_core.evaluation.figures import Series
from farzi_core.evaluation.training import init_on
from farzi_core.seeding import derive_generator
from farzi_core.work import WorkMeter
from farzi_core.work_plan import HARD_SEQUENCES, StepTimes, WorkSize

TRAINING_STEPS_PER_REPORT = 10

Steps = Iterator[tuple[int, dict[str, float]]]


def time_steps(setting: Setting) -> StepTimes:
    """Return what steps take on the reference machine, with the sizes of data that have been split."""
    test = setting.split.test
    if isinstance(test, HeldOutStream):
        num_test_cases, is_text = len(test.stream) // setting.spec.student.max_length, True
    else:
        num_test_cases, is_text = len(test.targets), False
    mean_history = setting.split.train.summary().mean_history
    size = WorkSize(setting.vocab_size, setting.validation.num_cases, num_test_cases, is_text, mean_history)
    return StepTimes(setting.spec, size)


class TeacherStage:
    """The teachers that a spec asks for.

    Attributes:
        trajectories: of the finished ones.
        seconds: what they took so far.
        validation: looks of the first one.
    """

    def __init__(self, setting: Setting, times: StepTimes) -> None:
        self._setting, self._times = setting, times
        self._current: TeacherTraining | None = None
        self.trajectories: list[TeacherTrajectory] = []
        self.seconds = 0.0
        self.validation = Series()

    def run(self, meter: WorkMeter) -> Steps:
        """Train what is left to train."""
        spec = self._setting.spec.teacher
        assert spec.num_trajectories is not None, "a setting has no choices left"
        with freed_memory_kept(large_blocks=True):
            while len(self.trajectories) < spec.num_trajectories:
                teacher = self._current or TeacherTraining(self._setting, len(self.trajectories))
                self._current = teacher
                while not teacher.finished:
                    started = time.perf_counter()
                    step = teacher.advance()
                    self.seconds += time.perf_counter() - started
                    meter.add("teacher", self._times.real_step)
                    if step.validation is not None and not self.trajectories:
                        self.validation.append(step.step, step.validation)
                    if step.step % TRAINING_STEPS_PER_REPORT == 0 and not teacher.finished:
                        yield spec.num_steps * len(self.trajectories) + step.step, {"teacher_loss": step.loss}
                self.trajectories.append(teacher.trajectory())
                self._current = None

    def checkpoint(self) -> Checkpoint:
        """Return the state between two steps."""
        parts = {f"trajectory_{i}": pack_trajectory(trajectory) for i, trajectory in enumerate(self.trajectories)}
        if self._current is not None:
            parts["current"] = self._current.checkpoint()
        validation = {"steps": self.validation.steps, "values": self.validation.values}
        return Checkpoint.join(parts, num_trajectories=len(self.trajectories), seconds=self.seconds, validation=validation)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a state that :meth:`checkpoint` returned."""
        setting = self._setting
        like = init_on(setting.student, derive_generator(0, "names"), setting.dtype, setting.device)
        values = checkpoint.values
        self.trajectories = [
            unpack_trajectory(checkpoint.part(f"trajectory_{i}"), like) for i in range(values["num_trajectories"])
        ]
        self.seconds, self.validation = values["seconds"], Series(**values["validation"])
        if checkpoint.has_part("current"):
            self._current = TeacherTraining(self._setting, len(self.trajectories))
            self._current.restore(checkpoint.part("current"))


class HardSequencesStage:
    """The choice of a rule for hard sequences, and the draws that need teachers.

    Attributes:
        steps: taken so far.
        seconds: what it took so far.
    """

    def __init__(self, setting: Setting, times: StepTimes) -> None:
        self._setting, self._times = setting, times
        self._work: HardSequences | None = None
        self.steps = 0
        self.seconds = 0.0

    @property
    def finished(self) -> bool:
        return self._work is not None and self._work.finished

    @property
    def work(self) -> HardSequences:
        """Trials and draws, once they are begun."""
        assert self._work is not None, "what needs hard sequences comes after them"
        return self._work

    def run(self, distilled: Distilled, trajectories: list[TeacherTrajectory], meter: WorkMeter) -> Steps:
        """Do what is left to do."""
        work = self._work or HardSequences(self._setting, trajectories, distilled)
        self._work = work
        with freed_memory_kept(large_blocks=True):
            while not work.finished:
                is_draw, num_tried, started = work.all_tried, len(work.validations), time.perf_counter()
                work.advance()
                self.seconds += time.perf_counter() - started
                meter.add(HARD_SEQUENCES, self._times.prepared_draw if is_draw else self._times.hard_trial_step)
                self.steps += 1
                # A draw may take as long as many steps of training.
                if is_draw or len(work.validations) > num_tried or self.steps % TRAINING_STEPS_PER_REPORT == 0:
                    yield self.steps, {}
        meter.finish(HARD_SEQUENCES)

    def checkpoint(self) -> Checkpoint:
        """Return the state between two steps."""
        parts = {} if self._work is None else {"work": self._work.checkpoint()}
        return Checkpoint.join(parts, steps=self.steps, seconds=self.seconds)

    def restore(self, checkpoint: Checkpoint, distilled: Distilled, trajectories: list[TeacherTrajectory]) -> None:
        """Go on from a state that :meth:`checkpoint` returned."""
        self.steps, self.seconds = checkpoint.values["steps"], checkpoint.values["seconds"]
        if checkpoint.has_part("work"):
            self._work = HardSequences(self._setting, trajectories, distilled)
            self._work.restore(checkpoint.part("work"))


class JudgingStage:
    """Learned baselines, then the comparison of synthetic data with everything the spec names."""

    def __init__(self, setting: Setting, times: StepTimes) -> None:
        self._setting, self._times = setting, times
        self._step = 0
        self._learned: LearnedBaselines | None = None
        self._comparison: Comparison | None = None

    @property
    def comparison(self) -> Comparison:
        """The comparison, once there is one."""
        assert self._comparison is not None, "what needs the comparison comes after it"
        return self._comparison

    @property
    def learned_s(self) -> dict[Baseline, float]:
        """Seconds that each learned baseline took, teachers not counted."""
        return {} if self._learned is None else self._learned.seconds

    def run(self, distilled: Distilled, trajectories: list[TeacherTrajectory], meter: WorkMeter) -> Steps:
        """Do what is left to do."""
        learned = self._learned or LearnedBaselines(self._setting, trajectories)
        self._learned = learned
        while (name := learned.current) is not None:
            baseline_step = learned.advance()
            self._step += 1
            meter.add(name, self._times.baseline_step(name))
            if learned.current != name:
                meter.finish(name)
            yield self._step, _baseline_metrics(name, baseline_step)
        comparison = self._comparison or Comparison(self._setting, distilled, learned.results)
        self._comparison = comparison
        yield from self._compare(comparison, meter)

    def _compare(self, comparison: Comparison, meter: WorkMeter) -> Steps:
        costs: dict[TrainingKey, float] = {}
        with freed_memory_kept(large_blocks=True):
            while not comparison.finished:
                step = comparison.advance()
                self._step += 1
                cost = costs.setdefault(step.key, self._times.comparison_step(step.key))
                meter.add(step.key.name, cost + (self._times.test(step.key) if step.finished else 0.0))
                if step.finished:
                    meter.finish(step.key.name)
                if step.finished or step.training.step % TRAINING_STEPS_PER_REPORT == 0:
                    yield self._step, {f"{step.key.side}_training_loss": step.training.loss}

    def checkpoint(self) -> Checkpoint:
        """Return the state between two steps."""
        parts = {"learned": self._learned, "comparison": self._comparison}
        return Checkpoint.join({name: part.checkpoint() for name, part in parts.items() if part is not None}, step=self._step)

    def restore(self, checkpoint: Checkpoint, distilled: Distilled, trajectories: list[TeacherTrajectory]) -> None:
        """Go on from a state that :meth:`checkpoint` returned."""
        self._step = checkpoint.values["step"]
        if checkpoint.has_part("learned"):
            self._learned = LearnedBaselines(self._setting, trajectories)
            self._learned.restore(checkpoint.part("learned"))
        if self._learned is not None and checkpoint.has_part("comparison"):
            self._comparison = Comparison(self._setting, distilled, self._learned.results)
            self._comparison.restore(checkpoint.part("comparison"))


def _baseline_metrics(name: Baseline, step: BaselineStep) -> dict[str, float]:
    metrics = {f"{name}_loss": step.loss, f"{name}_gradient_norm": step.gradient_norm}
    return metrics if step.validation is None else {**metrics, f"{name}_validation": step.validation}
