"""The one path from a validated data set to a published result: teachers, outer loop, comparison, artifacts.

``run`` yields progress values and nothing else happens between two of them that a checkpoint would not hold: whatever the
pipeline yielded last, it can be saved there and resumed elsewhere with the same numbers (bit-equal on a CPU; measured
seconds go on from those saved). It knows nothing of jobs, queues or object storage.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from farzi_core.artifacts import SYNTHETIC_NAME, SyntheticFile, write_synthetic
from farzi_core.batch_sizes import describe_identity
from farzi_core.config import PUBLISHED_DRAWS, DistillationSpec
from farzi_core.data.sequences import SequenceDataset
from farzi_core.distillation.checkpoint import Checkpoint
from farzi_core.distillation.course import Course, describe_ending
from farzi_core.distillation.descent import Distilled
from farzi_core.distillation.outer_loop import OuterLoop, OuterStep
from farzi_core.distillation.random_reference import measure_random_sequences
from farzi_core.distillation.setting import Setting, prepare_setting
from farzi_core.evaluation.figures import Series
from farzi_core.evaluation.history import History, best_of, describe_outer_loop
from farzi_core.evaluation.page import write_page
from farzi_core.evaluation.report import build_report, describe_hard_sequences, summarise_report, write_report
from farzi_core.manifest import build_manifest
from farzi_core.phases import Pipeline
from farzi_core.progress import ArtifactFile, OuterLoopEnded, Phase, Progress, ResultReady, ValidationMeasured
from farzi_core.seeding import derive_seed
from farzi_core.sequence_files import (
    SEQUENCES_JSONL_NAME,
    SEQUENCES_PARQUET_NAME,
    VOCABULARY_NAME,
    hash_vocabulary,
    write_sequences,
    write_vocabulary,
)
from farzi_core.soft_tokens import read_soft_tokens
from farzi_core.stages import HardSequencesStage, JudgingStage, TeacherStage, time_steps
from farzi_core.work_plan import plan_distillation

PHASES: tuple[Phase, ...] = ("teacher", "distillation", "evaluation", "artifacts")
_PUBLISHED_HARD_SEED = "published_hard_sequences"


class DistillationPipeline(Pipeline):
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

    phases = PHASES

    def __init__(
        self,
        dataset: SequenceDataset,
        spec: DistillationSpec,
        directory: Path,
        data_sha256: str,
        *,
        device: torch.device | None = None,
    ) -> None:
        self._dataset, self._directory, self._data_sha256 = dataset, directory, data_sha256
        self._setting: Setting = prepare_setting(dataset, spec, device)
        self._spec = self._setting.spec
        times = time_steps(self._setting)
        self._outer_step_s, self._validation_s, self._pool_s = times.outer_step, times.validation, times.pool
        identity = {"spec": describe_identity(self._spec), "data_sha256": data_sha256}
        super().__init__(plan_distillation(self._spec, times), self._outer_step_s, identity)
        self._teachers = TeacherStage(self._setting, times)
        self._hard = HardSequencesStage(self._setting, times)
        self._judging = JudgingStage(self._setting, times)
        self._outer_loop: OuterLoop | None = None
        self._history = History()
        self._outer_loop_s = 0.0
        self._random_validation: float | None = None
        self._unannounced: ValidationMeasured | None = None
        self._ending_told = False

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
        """Return the pipeline as it was when ``checkpoint_directory`` was written; batch sizes may differ.

        Raises:
            ArtifactError: the checkpoint is damaged, or belongs to other data or another spec.
        """
        pipeline = cls(dataset, spec, directory, data_sha256, device=device)
        pipeline.load_checkpoint(checkpoint_directory)
        return pipeline

    @property
    def spec(self) -> DistillationSpec:
        return self._spec

    def _run_phase(self, phase: Phase) -> Iterator[Progress]:
        if phase == "teacher":
            if self._spec.needs_teacher:
                for step, metrics in self._teachers.run(self._meter):
                    yield self._finish_step(step, metrics)
            self._meter.finish("teacher")
        elif phase == "distillation":
            yield from self._distil()
        elif phase == "evaluation":
            yield from self._judge()
        else:
            yield from self._publish()

    def _distil(self) -> Iterator[Progress]:
        loop = self._outer_loop or self._begin_outer_loop()
        self._outer_loop = loop
        while True:
            if self._unannounced is not None:
                validation, self._unannounced = self._unannounced, None
                yield validation
            if loop.finished:
                break
            started = time.perf_counter()
            step = loop.advance()
            self._outer_loop_s += time.perf_counter() - started
            self._meter.add("distillation", self._outer_step_s + (self._pool_s if step.step == 1 else 0.0))
            if loop.finished:
                self._meter.finish("distillation")
            self._record(step)
            yield self._finish_step(step.step, _outer_metrics(step))
        if not self._ending_told:
            self._ending_told = True
            yield _tell_ending(loop.course)

    def _begin_outer_loop(self) -> OuterLoop:
        """Make the start and validate it: both are part of the seconds that a distillation takes, as in learned baselines."""
        started = time.perf_counter()
        loop = OuterLoop(self._setting, self._teachers.trajectories)
        start_value = loop.validate_start()
        self._outer_loop_s += time.perf_counter() - started
        self._meter.add("distillation", self._validation_s)
        self._record_validation(0, start_value, best=True)
        return loop

    def _judge(self) -> Iterator[Progress]:
        """Choose how hard sequences are drawn, which has to be known before they are judged, then judge everything."""
        assert self._outer_loop is not None, "distillation comes before what needs its result"
        trajectories = self._teachers.trajectories
        for step, metrics in self._hard.run(self._outer_loop.best, trajectories, self._meter):
            yield self._finish_step(step, metrics)
        for step, metrics in self._judging.run(self._best(), trajectories, self._meter):
            yield self._finish_step(self._hard.steps + step, metrics)

    def _publish(self) -> Iterator[Progress]:
        comparison, distilled = self._judging.comparison, self._best()
        self._directory.mkdir(parents=True, exist_ok=True)
        distil_s = self._teachers.seconds + self._outer_loop_s
        history = replace(self._history, teacher_validation=self._teachers.validation)
        report = build_report(
            self._setting,
            comparison,
            distilled,
            distil_s=distil_s,
            learned_s=self._judging.learned_s,
            outer_loop=describe_outer_loop(self._outer_course(), history, self._setting.metric),
            hard_sequences=describe_hard_sequences(self._hard.work.rule, distilled.synthetic, self._hard.work.validations),
            hard_s=self._hard.seconds,
        )
        files = [
            *self._write_data(distilled, report["training"]),
            write_report(report, self._directory),
            write_page(report, history, self._setting, distilled, self._directory),
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
            hard_rule=self._hard.work.rule,
        )
        synthetic = write_synthetic(content, self._directory / SYNTHETIC_NAME)
        # Drawn from the file, as every later draw is: what was published is the beginning of it.
        events = read_soft_tokens(synthetic.path).draw(PUBLISHED_DRAWS)
        sequences = [
            write_sequences(events, tokens, self._directory / name, draws=PUBLISHED_DRAWS, tokenizer=tokenizer)
            for name in (SEQUENCES_JSONL_NAME, SEQUENCES_PARQUET_NAME)
        ]
        return [synthetic, *sequences, write_vocabulary(tokens, self._directory / VOCABULARY_NAME)]

    def _record(self, step: OuterStep) -> None:
        self._history.outer_loss.append(step.step, step.outer_loss)
        self._history.meta_gradient_norm.append(step.step, step.meta_gradient_norm)
        if step.validation is not None:
            self._record_validation(step.step, step.validation, best=step.best)

    def _record_validation(self, step: int, value: float, *, best: bool) -> None:
        self._history.validation.append(step, value)
        self._unannounced = ValidationMeasured(step, self._validation_metrics(value), best)

    def _validation_metrics(self, value: float) -> dict[str, float]:
        metric = self._setting.metric
        metrics = {f"validation_{metric}": value}
        teacher = best_of(self._teachers.validation, metric)
        if teacher is not None:
            metrics[f"full_data_validation_{metric}"] = teacher
        if "random" in self._spec.evaluation.baselines:
            if self._random_validation is None:
                self._random_validation = measure_random_sequences(self._setting)
            metrics[f"random_validation_{metric}"] = self._random_validation
        return metrics

    def _best(self) -> Distilled:
        return self._hard.work.result

    def _outer_course(self) -> Course:
        assert self._outer_loop is not None, "distillation comes before what needs its result"
        return self._outer_loop.course

    def _seeds(self) -> dict[str, int]:
        return {
            "seed": self._spec.seed,
            _PUBLISHED_HARD_SEED: derive_seed(self._spec.seed, _PUBLISHED_HARD_SEED),
        }

    def _parts(self) -> dict[str, Checkpoint]:
        parts = {
            "teachers": self._teachers.checkpoint(),
            "hard_sequences": self._hard.checkpoint(),
            "judging": self._judging.checkpoint(),
        }
        return parts if self._outer_loop is None else {**parts, "outer_loop": self._outer_loop.checkpoint()}

    def _values(self) -> dict[str, Any]:
        return {
            "history": asdict(self._history),
            "outer_loop_s": self._outer_loop_s,
            "random_validation": self._random_validation,
            "unannounced": None if self._unannounced is None else asdict(self._unannounced),
            "ending_told": self._ending_told,
        }

    def _restore(self, checkpoint: Checkpoint) -> None:
        values = checkpoint.values
        self._history = History(**{name: Series(**series) for name, series in values["history"].items()})
        self._outer_loop_s = values["outer_loop_s"]
        self._random_validation = values.get("random_validation")
        if values["unannounced"] is not None:
            self._unannounced = ValidationMeasured(**values["unannounced"])
        self._ending_told = values["ending_told"]
        self._teachers.restore(checkpoint.part("teachers"))
        if checkpoint.has_part("outer_loop"):
            self._outer_loop = OuterLoop(self._setting, self._teachers.trajectories)
            self._outer_loop.restore(checkpoint.part("outer_loop"))
            self._hard.restore(checkpoint.part("hard_sequences"), self._outer_loop.best, self._teachers.trajectories)
            if self._hard.finished:
                self._judging.restore(checkpoint.part("judging"), self._best(), self._teachers.trajectories)


def _outer_metrics(step: OuterStep) -> dict[str, float]:
    return {
        "outer_loss": step.outer_loss,
        "meta_gradient_norm": step.meta_gradient_norm,
        "entropy": step.entropy,
        "inner_lr": step.inner_lr,
        "num_inner_steps": float(step.num_inner_steps),
    }


def _tell_ending(course: Course) -> OuterLoopEnded:
    assert course.ended_by is not None, "only a loop that is over has an ending"
    return OuterLoopEnded(course.steps, course.planned_steps, course.best_step, course.ended_by, describe_ending(course))
