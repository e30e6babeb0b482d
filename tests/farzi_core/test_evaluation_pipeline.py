from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from farzi_core.config import DataSummary, DistillationSpec, Task
from farzi_core.data.sequences import SequenceDataset
from farzi_core.errors import ArtifactError
from farzi_core.evaluation_pipeline import EvaluationPipeline, JudgedResult
from farzi_core.evaluation_spec import apply_evaluation, default_evaluation, find_evaluation_problems, resolve_evaluation
from farzi_core.pipeline import DistillationPipeline
from farzi_core.progress import PhaseStarted, ResultReady, StepFinished
from tests.farzi_core.markov import interactions, text, tiny_spec
from tests.farzi_core.test_pipeline import without_seconds

SHA = "0" * 64
TASKS: dict[Task, tuple[SequenceDataset, DistillationSpec]] = {
    "sequential_recommendation": (interactions(), tiny_spec()),
    "language_modeling": (text(), tiny_spec("language_modeling", student={"architecture": "transformer_lm", "num_heads": 2})),
}
FEW = {"num_seeds": 1, "baselines": ["random"], "max_steps": 4, "lr_factors": [1.0], "teacher": {"num_steps": 4}, "ks": [2]}


@pytest.fixture(scope="module", params=TASKS)
def distilled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[SequenceDataset, DistillationSpec, JudgedResult]:
    dataset, spec = TASKS[request.param]
    directory = tmp_path_factory.mktemp("distilled")
    *_, last = DistillationPipeline(dataset, spec, directory, SHA).run()
    assert isinstance(last, ResultReady)
    return dataset, spec, JudgedResult(directory / "synthetic.safetensors", distil_s=12.0)


Distilled = tuple[SequenceDataset, DistillationSpec, JudgedResult]


def judge(distilled: Distilled, directory: Path, overrides: Mapping[str, Any] = FEW) -> EvaluationPipeline:
    dataset, source, result = distilled
    spec = apply_evaluation(resolve_evaluation(dataset.task, source, overrides), source)
    return EvaluationPipeline(dataset, spec, result, directory, SHA)


def report_of(directory: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((directory / "report.json").read_text())
    return report


def test_a_result_is_judged_with_every_student_of_its_task(distilled: Distilled, tmp_path: Path) -> None:
    values = list(judge(distilled, tmp_path).run())
    result = values[-1]
    assert isinstance(result, ResultReady)
    assert [value.phase for value in values if isinstance(value, PhaseStarted)] == ["teacher", "evaluation", "artifacts"]
    steps = [value for value in values if isinstance(value, StepFinished)]
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert steps[-1].done == steps[-1].total
    report = report_of(tmp_path)
    dataset, source, _ = distilled
    assert list(report["students"]) == list(default_evaluation(dataset.task).students or ())
    assert report["cross_architecture"]["distilled_with"] == source.student.architecture
    assert report["seconds"]["distil"] == 12.0
    assert {file.name for file in result.files} == {"report.json", "report.html"}
    assert "How the distillation went" not in (tmp_path / "report.html").read_text()
    assert set(result.manifest) >= {"spec", "data_sha256", "synthetic_sha256"}
    assert result.summary["size_bytes"] > 0


def test_a_resumed_evaluation_keeps_finished_trainings(distilled: Distilled, tmp_path: Path) -> None:
    one = {**FEW, "students": [distilled[1].student.architecture]}
    whole = [value for value in judge(distilled, tmp_path / "whole", one).run() if isinstance(value, StepFinished)]
    first = judge(distilled, tmp_path / "first", one)
    stop_after = len(whole) // 2
    for number, _ in enumerate((value for value in first.run() if isinstance(value, StepFinished)), 1):
        if number == stop_after:
            break
    first.save_checkpoint(tmp_path / "checkpoint")
    second = judge(distilled, tmp_path / "second", one)
    second.load_checkpoint(tmp_path / "checkpoint")
    rest = [value for value in second.run() if isinstance(value, StepFinished)]
    assert [(step.step, step.done) for step in rest] == [(step.step, step.done) for step in whole[stop_after:]]
    resumed, expected = report_of(tmp_path / "second"), report_of(tmp_path / "whole")
    assert without_seconds(resumed["students"]) == without_seconds(expected["students"])


def test_other_seeds_and_learned_baselines(distilled: Distilled, tmp_path: Path) -> None:
    dataset = distilled[0]
    student = "sasrec" if dataset.task == "sequential_recommendation" else "transformer_lm"
    overrides = {**FEW, "students": [student], "seed": 7, "baselines": ["first_order"], "baseline": {"num_steps": 2}}
    values = list(judge(distilled, tmp_path, overrides).run())
    assert "first_order_loss" in {name for value in values if isinstance(value, StepFinished) for name in value.metrics}
    report = report_of(tmp_path)
    assert list(report["students"]) == [student]
    assert "first_order" in report["students"][student]


def test_a_result_of_other_data_is_refused(distilled: Distilled, tmp_path: Path) -> None:
    dataset, source, result = distilled
    other = interactions(vocab_size=15) if dataset.task == "sequential_recommendation" else text(vocab_size=15)
    spec = apply_evaluation(resolve_evaluation(dataset.task, source, FEW), source)
    with pytest.raises(ArtifactError, match="other data"):
        EvaluationPipeline(other, spec, result, tmp_path, SHA)


def test_a_checkpoint_of_another_evaluation_is_refused(distilled: Distilled, tmp_path: Path) -> None:
    judge(distilled, tmp_path).save_checkpoint(tmp_path / "checkpoint")
    with pytest.raises(ArtifactError, match="another spec"):
        judge(distilled, tmp_path, {**FEW, "seed": 1}).load_checkpoint(tmp_path / "checkpoint")


DATA = DataSummary("sequential_recommendation", num_sequences=60, num_events=700, vocab_size=12, max_sequence_length=20)


@pytest.mark.parametrize(
    ("overrides", "pointer"),
    [
        ({"students": ["lstm"]}, "/students"),
        ({"student": {"max_length": 4}}, "/student/max_length"),
    ],
)
def test_what_does_not_fit_is_found_before_any_work(overrides: dict[str, Any], pointer: str) -> None:
    source = tiny_spec()
    spec = resolve_evaluation(DATA.task, source, overrides)
    assert [problem.pointer for problem in find_evaluation_problems(spec, source, DATA)] == [pointer]


@pytest.mark.parametrize(
    "overrides", [{"students": ["sasrec", "sasrec"]}, {"inner": {}}, {"student": {"architecture": "lstm"}}]
)
def test_bad_specs_are_refused(overrides: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        resolve_evaluation(DATA.task, tiny_spec(), overrides)


def test_defaults_are_those_of_the_distillation() -> None:
    source = tiny_spec(seed=5)
    spec = resolve_evaluation(DATA.task, source, {})
    assert (spec.seed, spec.ks, spec.teacher) == (5, source.evaluation.ks, source.teacher)
    assert spec.student.max_length == source.student.max_length
