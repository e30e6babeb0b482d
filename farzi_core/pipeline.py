"""The one path from a validated data set to a published result: teachers, outer loop, comparison, artifacts.

``run`` yields progress values and nothing else happens between two of them that a checkpoint would not hold: whatever the
pipeline yielded last, it can be saved there and resumed elsewhere with the same numbers (bit-equal on a CPU; measured
seconds go on from those saved). It knows nothing of jobs, queues or object storage.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import torch

from farzi_core.artifacts import SYNTHETIC_NAME, SyntheticFile, write_synthetic
from farzi_core.config import PUBLISHED_DRAWS, Baseline, DistillationSpec
from farzi_core.data.sequences import SequenceDataset
from farzi_core.distillation.baselines import BaselineStep, LearnedBaselines, list_learned_baselines
from farzi_core.distillation.checkpoint import Checkpoint
from farzi_core.distillation.descent import LOOKS_PER_VALIDATION, Distilled
from farzi_core.distillation.outer_loop import OuterLoop, OuterStep
from farzi_core.distillation.setting import Setting, prepare_setting
from farzi_core.distillation.teachers import (
    TeacherTraining,
    TeacherTrajectory,
    needs_teacher,
    pack_trajectory,
    unpack_trajectory,
)
from farzi_core.errors import ArtifactError
from farzi_core.evaluation.comparison import Comparison, TrainingKey, list_trainings
from farzi_core.evaluation.figures import Series
from farzi_core.evaluation.metrics import LOWER_IS_BETTER
from farzi_core.evaluation.page import History, write_page
from farzi_core.evaluation.report import build_report, summarise_report, write_report
from farzi_core.evaluation.sides import DISTILLED, MAX_HARD_BATCH, num_training_sequences, trains_as_teacher
from farzi_core.manifest import build_manifest
from farzi_core.progress import ArtifactFile, Phase, PhaseStarted, Progress, ResultReady, StepFinished, ValidationMeasured
from farzi_core.seeding import derive_generator, derive_seed
from farzi_core.sequence_files import (
    SEQUENCES_JSONL_NAME,
    SEQUENCES_PARQUET_NAME,
    VOCABULARY_NAME,
    hash_vocabulary,
    write_sequences,
    write_vocabulary,
)
from farzi_core.soft_tokens import read_soft_tokens
from farzi_core.work import (
    WorkMeter,
    baseline_step_cost,
    expected_synthetic_steps,
    outer_step_cost,
    real_training_step_cost,
    synthetic_training_step_cost,
)

PHASES: tuple[Phase, ...] = ("teacher", "distillation", "evaluation", "artifacts")
TRAINING_STEPS_PER_REPORT = 10
_PUBLISHED_HARD_SEED = "published_hard_sequences"
_ARTIFACTS_UNITS = 5.0


class DistillationPipeline:
    """A distillation from data to artifact files.

    Args:
        dataset: a validated data set.
        spec: the complete spec.
        directory: where artifact files are written; made when missing.
        data_sha256: of the data set's bytes as uploaded; goes into the manifest, and a checkpoint of other data is refused.
        device: None takes the GPU when there is one.

    Raises:
        ConfigError: the spec asks for more than the data have.
        DataError: the data cannot be split, or leave nothing to learn from.
    """

    def __init__(
        self,
        dataset: SequenceDataset,
        spec: DistillationSpec,
        directory: Path,
        data_sha256: str,
        *,
        device: torch.device | None = None,
    ) -> None:
        self._dataset, self._spec, self._directory, self._data_sha256 = dataset, spec, directory, data_sha256
        self._setting: Setting = prepare_setting(dataset, spec, device)
        self._phase: Phase = "teacher"
        self._history = History()
        self._distil_s = 0.0
        self._costs = _Costs(self._setting)
        self._meter = self._costs.plan()
        self._trajectories: list[TeacherTrajectory] = []
        self._teacher: TeacherTraining | None = None
        self._outer_loop: OuterLoop | None = None
        self._learned: LearnedBaselines | None = None
        self._comparison: Comparison | None = None
        self._evaluation_step = 0
        self._unannounced: ValidationMeasured | None = None

    @classmethod
    def resume(
        cls,
        checkpoint_directory: Path,
        dataset: SequenceDataset,
        spec: DistillationSpec,
        directory: Path,
        data_sha256: str,
        *,
        device: torch.device | None = None,
    ) -> DistillationPipeline:
        """Return the pipeline as it was when ``checkpoint_directory`` was written.

        Raises:
            ArtifactError: the checkpoint is damaged, or belongs to other data or another spec.
        """
        checkpoint = Checkpoint.load(checkpoint_directory)
        pipeline = cls(dataset, spec, directory, data_sha256, device=device)
        try:
            pipeline._restore(checkpoint)
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"the checkpoint does not hold what a pipeline needs ({error!r}); use an older one") from error
        return pipeline

    @property
    def spec(self) -> DistillationSpec:
        return self._spec

    def run(self) -> Iterator[Progress]:
        """Yield progress until the result is ready; the last value is :class:`ResultReady`.

        Raises:
            NumericalError: a loss or a gradient is not finite.
        """
        steps = {
            "teacher": self._train_teachers,
            "distillation": self._distil,
            "evaluation": self._compare,
            "artifacts": self._publish,
        }
        for phase in PHASES[PHASES.index(self._phase) :]:
            self._phase = phase
            yield PhaseStarted(phase)
            yield from steps[phase]()

    def save_checkpoint(self, directory: Path) -> None:
        """Write a checkpoint of the state at the last value that :meth:`run` yielded."""
        parts = {f"trajectory_{i}": pack_trajectory(trajectory) for i, trajectory in enumerate(self._trajectories)}
        for name, part in (
            ("teacher", self._teacher),
            ("outer_loop", self._outer_loop),
            ("learned_baselines", self._learned),
            ("comparison", self._comparison),
        ):
            if part is not None:
                parts[name] = part.checkpoint()
        checkpoint = Checkpoint.join(
            parts,
            identity=self._identity(),
            phase=self._phase,
            history=asdict(self._history),
            distil_s=self._distil_s,
            work=self._meter.values(),
            num_trajectories=len(self._trajectories),
            evaluation_step=self._evaluation_step,
            unannounced=None if self._unannounced is None else asdict(self._unannounced),
        )
        checkpoint.save(directory)

    def _train_teachers(self) -> Iterator[Progress]:
        if not needs_teacher(self._spec):
            self._meter.finish("teacher")
            return
        while len(self._trajectories) < self._spec.teacher.num_trajectories:
            teacher = self._teacher or TeacherTraining(self._setting, len(self._trajectories))
            self._teacher = teacher
            while not teacher.finished:
                started = time.perf_counter()
                step = teacher.advance()
                self._distil_s += time.perf_counter() - started
                self._meter.add("teacher", self._costs.real_step)
                if step.validation is not None and not self._trajectories:
                    self._history.teacher_validation.append(step.step, step.validation)
                if step.step % TRAINING_STEPS_PER_REPORT == 0 and not teacher.finished:
                    offset = self._spec.teacher.num_steps * len(self._trajectories)
                    yield self._finish_step(offset + step.step, {"teacher_loss": step.loss})
            self._trajectories.append(teacher.trajectory())
            self._teacher = None
        self._meter.finish("teacher")

    def _distil(self) -> Iterator[Progress]:
        loop = self._outer_loop or OuterLoop(self._setting, self._trajectories)
        self._outer_loop = loop
        while True:
            if self._unannounced is not None:
                validation, self._unannounced = self._unannounced, None
                yield validation
            if loop.finished:
                return
            started = time.perf_counter()
            step = loop.advance()
            self._distil_s += time.perf_counter() - started
            self._meter.add("distillation", self._costs.outer_step)
            if loop.finished:
                self._meter.finish("distillation")
            self._record(step)
            yield self._finish_step(step.step, _outer_metrics(step))

    def _compare(self) -> Iterator[Progress]:
        learned = self._learned or LearnedBaselines(self._setting, self._trajectories)
        self._learned = learned
        while (name := learned.current) is not None:
            baseline_step = learned.advance()
            self._evaluation_step += 1
            self._meter.add(name, self._costs.baseline_step(name))
            if learned.current != name:
                self._meter.finish(name)
            yield self._finish_step(self._evaluation_step, _baseline_metrics(name, baseline_step))
        comparison = self._comparison or Comparison(self._setting, self._best(), learned.results)
        self._comparison = comparison
        while not comparison.finished:
            step = comparison.advance()
            self._evaluation_step += 1
            self._meter.add(step.key.name, self._costs.comparison_step(step.key))
            if step.finished:
                self._meter.finish(step.key.name)
            if step.finished or step.training.step % TRAINING_STEPS_PER_REPORT == 0:
                yield self._finish_step(self._evaluation_step, {f"{step.key.side}_training_loss": step.training.loss})

    def _publish(self) -> Iterator[Progress]:
        comparison, learned = self._comparison, self._learned
        assert comparison is not None, "artifacts come after the comparison"
        assert learned is not None, "baselines come before the comparison"
        distilled = self._best()
        self._directory.mkdir(parents=True, exist_ok=True)
        report = build_report(self._setting, comparison, distilled, distil_s=self._distil_s, learned_s=learned.seconds)
        files = [
            *self._write_data(distilled, _advise(self._setting, comparison, distilled)),
            write_report(report, self._directory),
            write_page(report, self._history, self._setting, distilled, self._directory),
        ]
        self._meter.add("artifacts", math.inf)
        yield self._finish_step(1, {})
        manifest = build_manifest(spec=self._spec.model_dump(mode="json"), data_sha256=self._data_sha256, seeds=self._seeds())
        yield ResultReady(tuple(files), manifest, summarise_report(report, self._setting.metric))

    def _write_data(self, distilled: Distilled, training: dict[str, Any]) -> list[ArtifactFile]:
        tokens, tokenizer = self._dataset.vocabulary.tokens, self._dataset.tokenizer
        content = SyntheticFile(
            distilled.synthetic,
            task=self._dataset.task,
            vocabulary_sha256=hash_vocabulary(tokens),
            training=training,
            hard_seed=self._seeds()[_PUBLISHED_HARD_SEED],
            tokenizer=tokenizer,
        )
        synthetic = write_synthetic(content, self._directory / SYNTHETIC_NAME)
        # Drawn from the file, as every later draw is: what was published is the beginning of it.
        events = read_soft_tokens(synthetic.path).draw(PUBLISHED_DRAWS)
        sequences = [
            write_sequences(events, tokens, self._directory / name, draws=PUBLISHED_DRAWS, tokenizer=tokenizer)
            for name in (SEQUENCES_JSONL_NAME, SEQUENCES_PARQUET_NAME)
        ]
        return [synthetic, *sequences, write_vocabulary(tokens, self._directory / VOCABULARY_NAME)]

    def _finish_step(self, step: int, metrics: dict[str, float]) -> StepFinished:
        return StepFinished(self._phase, self._meter.done, self._meter.total, step, metrics)

    def _record(self, step: OuterStep) -> None:
        self._history.outer_loss.append(step.step, step.outer_loss)
        self._history.meta_gradient_norm.append(step.step, step.meta_gradient_norm)
        if step.validation is not None:
            self._history.validation.append(step.step, step.validation)
            metrics = self._validation_metrics(step.validation)
            self._unannounced = ValidationMeasured(step.step, metrics, step.best)

    def _validation_metrics(self, value: float) -> dict[str, float]:
        metric = self._setting.metric
        metrics = {f"validation_{metric}": value}
        teacher = self._history.teacher_validation.values
        if teacher:
            best = min(teacher) if metric in LOWER_IS_BETTER else max(teacher)
            metrics[f"full_data_validation_{metric}"] = best
        return metrics

    def _best(self) -> Distilled:
        assert self._outer_loop is not None, "distillation comes before what needs its result"
        return self._outer_loop.best

    def _seeds(self) -> dict[str, int]:
        return {
            "seed": self._spec.seed,
            _PUBLISHED_HARD_SEED: derive_seed(self._spec.seed, _PUBLISHED_HARD_SEED),
        }

    def _identity(self) -> dict[str, Any]:
        return {"spec": self._spec.model_dump(mode="json"), "data_sha256": self._data_sha256}

    def _restore(self, checkpoint: Checkpoint) -> None:
        values = checkpoint.values
        if values["identity"] != self._identity():
            raise ArtifactError("the checkpoint belongs to other data or another spec; start the job again")
        self._phase = values["phase"]
        self._history = History(**{name: Series(**series) for name, series in values["history"].items()})
        self._distil_s, self._evaluation_step = values["distil_s"], values["evaluation_step"]
        self._meter.restore(values["work"])
        if values["unannounced"] is not None:
            self._unannounced = ValidationMeasured(**values["unannounced"])
        like = self._setting.student.init_params(derive_generator(0, "names"), self._setting.dtype)
        self._trajectories = [
            unpack_trajectory(checkpoint.part(f"trajectory_{i}"), like) for i in range(values["num_trajectories"])
        ]
        if checkpoint.has_part("teacher"):
            self._teacher = TeacherTraining(self._setting, len(self._trajectories))
            self._teacher.restore(checkpoint.part("teacher"))
        if checkpoint.has_part("outer_loop"):
            self._outer_loop = OuterLoop(self._setting, self._trajectories)
            self._outer_loop.restore(checkpoint.part("outer_loop"))
        if checkpoint.has_part("learned_baselines"):
            self._learned = LearnedBaselines(self._setting, self._trajectories)
            self._learned.restore(checkpoint.part("learned_baselines"))
        if self._learned is not None and checkpoint.has_part("comparison"):
            self._comparison = Comparison(self._setting, self._best(), self._learned.results)
            self._comparison.restore(checkpoint.part("comparison"))


class _Costs:
    """What each piece of work costs, in events; see ``farzi_core.work``."""

    def __init__(self, setting: Setting) -> None:
        self._setting, self._spec = setting, setting.spec
        self._num_cases = setting.validation.num_cases
        self.outer_step = outer_step_cost(self._spec, self._num_cases, LOOKS_PER_VALIDATION)
        self.real_step = real_training_step_cost(self._spec, self._num_cases)

    def baseline_step(self, baseline: Baseline) -> float:
        return baseline_step_cost(baseline, self._spec, self._num_cases, LOOKS_PER_VALIDATION)

    def comparison_step(self, key: TrainingKey) -> float:
        if trains_as_teacher(key.side):
            return self.real_step
        num_sequences = self._spec.inner.batch_size or min(num_training_sequences(key.side, self._spec), MAX_HARD_BATCH)
        return synthetic_training_step_cost(self._spec, num_sequences, self._num_cases)

    def plan(self) -> WorkMeter:
        spec = self._spec
        planned = {
            "teacher": self.real_step * spec.teacher.num_steps * spec.teacher.num_trajectories,
            "distillation": self.outer_step * spec.outer.num_steps,
            "artifacts": self.outer_step * _ARTIFACTS_UNITS,
        }
        for name in list_learned_baselines(spec):
            planned[name] = self.baseline_step(name) * (spec.baseline.num_steps or spec.outer.num_steps)
        for key in list_trainings(self._setting):
            num_steps = spec.teacher.num_steps if trains_as_teacher(key.side) else expected_synthetic_steps(spec)
            planned[key.name] = self.comparison_step(key) * num_steps
        return WorkMeter(planned, self.outer_step)


def _outer_metrics(step: OuterStep) -> dict[str, float]:
    return {
        "outer_loss": step.outer_loss,
        "meta_gradient_norm": step.meta_gradient_norm,
        "entropy": step.entropy,
        "inner_lr": step.inner_lr,
        "num_inner_steps": float(step.num_inner_steps),
    }


def _baseline_metrics(name: Baseline, step: BaselineStep) -> dict[str, float]:
    metrics = {f"{name}_loss": step.loss, f"{name}_gradient_norm": step.gradient_norm}
    return metrics if step.validation is None else {**metrics, f"{name}_validation": step.validation}


def _advise(setting: Setting, comparison: Comparison, distilled: Distilled) -> dict[str, Any]:
    """Return how to train on the result: what the judged students did."""
    cell = comparison.cells(comparison.architectures[0])[DISTILLED]
    adam = setting.inner_adam(cell.lr)
    return {
        "optimizer": "adam",
        "lr": cell.lr,
        "betas": list(adam.betas),
        "eps": adam.eps,
        "eps_root": adam.eps_root,
        "batch_size": setting.spec.inner.batch_size or distilled.synthetic.num_sequences,
        "num_steps": round(median(outcome.best_step for outcome in cell.outcomes)),
    }
