"""From a published result and its data to a report on it: fresh students, other seeds, other baselines.

Finished trainings are in every checkpoint, so that a run that is stopped loses at most what it did since the last one. Knows
nothing of jobs, queues or object storage.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from farzi_core.artifacts import load_synthetic
from farzi_core.batch_sizes import describe_identity
from farzi_core.comparison_plan import list_learned_baselines
from farzi_core.config import DistillationSpec
from farzi_core.data.sequences import SequenceDataset
from farzi_core.distillation.checkpoint import Checkpoint
from farzi_core.distillation.descent import Distilled
from farzi_core.distillation.setting import prepare_setting
from farzi_core.errors import ArtifactError
from farzi_core.evaluation.history import History
from farzi_core.evaluation.page import write_page
from farzi_core.evaluation.report import build_report, describe_hard_sequences, summarise_report, write_report
from farzi_core.hard_rules import Rule
from farzi_core.manifest import build_manifest, hash_file
from farzi_core.phases import Pipeline
from farzi_core.progress import Phase, Progress, ResultReady
from farzi_core.sequence_files import hash_vocabulary
from farzi_core.stages import JudgingStage, TeacherStage, time_steps
from farzi_core.work_plan import plan_evaluation


@dataclass(frozen=True)
class JudgedResult:
    """What is judged.

    Attributes:
        synthetic: the published ``synthetic.safetensors``.
        distil_s: seconds that its distillation took, for the break-even number of trainings.
    """

    synthetic: Path
    distil_s: float


class EvaluationPipeline(Pipeline):
    """An evaluation from a published result to a report.

    Args:
        dataset: the data that the result was distilled from.
        spec: the distillation's spec with the evaluation applied; see ``evaluation_spec.apply_evaluation``.
        result: what is judged.
        directory: where the report is written; made when missing.
        data_sha256: of the data set's bytes as uploaded.
        device: None takes the GPU when there is one.

    Raises:
        ArtifactError: the result is damaged, or belongs to other data.
        ConfigError: the spec asks for more than the data have.
        DataError: the data cannot be split.
    """

    phases = ("teacher", "evaluation", "artifacts")

    def __init__(
        self,
        dataset: SequenceDataset,
        spec: DistillationSpec,
        result: JudgedResult,
        directory: Path,
        data_sha256: str,
        *,
        device: torch.device | None = None,
    ) -> None:
        self._result, self._directory, self._data_sha256 = result, directory, data_sha256
        self._setting = prepare_setting(dataset, spec, device, distilled=True)
        self._spec = self._setting.spec
        self._distilled, self._hard_rule = self._load(dataset)
        times = time_steps(self._setting)
        self._synthetic_sha256 = hash_file(result.synthetic)
        identity = {
            "spec": describe_identity(self._spec),
            "data_sha256": data_sha256,
            "synthetic_sha256": self._synthetic_sha256,
        }
        super().__init__(plan_evaluation(self._spec, times), None, identity)
        self._teachers = TeacherStage(self._setting, times)
        self._judging = JudgingStage(self._setting, times)

    def _load(self, dataset: SequenceDataset) -> tuple[Distilled, Rule]:
        content = load_synthetic(self._result.synthetic)
        if content.vocabulary_sha256 != hash_vocabulary(dataset.vocabulary.tokens):
            raise ArtifactError("the result was made from other data than the data set holds; evaluate it with its own data")
        synthetic = content.synthetic.to(self._setting.device, self._setting.dtype)
        return Distilled(synthetic, content.training.get("inner_lr", self._spec.inner.lr)), content.hard_rule

    def _run_phase(self, phase: Phase) -> Iterator[Progress]:
        if phase == "teacher":
            if list_learned_baselines(self._spec) and self._spec.needs_teacher:
                for step, metrics in self._teachers.run(self._meter):
                    yield self._finish_step(step, metrics)
            self._meter.finish("teacher")
        elif phase == "evaluation":
            for step, metrics in self._judging.run(self._distilled, self._teachers.trajectories, self._meter):
                yield self._finish_step(step, metrics)
        else:
            yield from self._publish()

    def _publish(self) -> Iterator[Progress]:
        setting, judging = self._setting, self._judging
        self._directory.mkdir(parents=True, exist_ok=True)
        distil_s = self._result.distil_s
        report = build_report(
            setting,
            judging.comparison,
            self._distilled,
            distil_s=distil_s,
            learned_s=judging.learned_s,
            hard_sequences=describe_hard_sequences(self._hard_rule, self._distilled.synthetic),
        )
        files = (
            write_report(report, self._directory),
            write_page(report, History(), setting, self._distilled, self._directory),
        )
        self._meter.add("artifacts", math.inf)
        yield self._finish_step(1, {})
        manifest = build_manifest(
            spec=self._spec.model_dump(mode="json"), data_sha256=self._data_sha256, seeds={"seed": self._spec.seed}
        )
        manifest["synthetic_sha256"] = self._synthetic_sha256
        yield ResultReady(files, manifest, summarise_report(report, setting.metric))

    def _parts(self) -> dict[str, Checkpoint]:
        return {"teachers": self._teachers.checkpoint(), "judging": self._judging.checkpoint()}

    def _values(self) -> dict[str, Any]:
        return {}

    def _restore(self, checkpoint: Checkpoint) -> None:
        self._teachers.restore(checkpoint.part("teachers"))
        self._judging.restore(checkpoint.part("judging"), self._distilled, self._teachers.trajectories)
