"""Learned baselines in the pipeline: progress, resume in the middle of one, and what the report says of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from farzi_core.errors import ConfigError
from farzi_core.pipeline import DistillationPipeline
from farzi_core.progress import PhaseStarted, Progress, ResultReady, StepFinished
from tests.farzi_core.markov import interactions, text, tiny_spec

SHA = "0" * 64
BASELINES = ["random_equal_bytes", "head", "distribution_matching", "trajectory_matching"]
SPEC = tiny_spec(evaluation={"baselines": BASELINES, "num_seeds": 1}, baseline={"num_steps": 3, "trajectory_steps": 2})

STOPS = [("distribution_matching_loss", 1), ("trajectory_matching_loss", 0), ("head_training_loss", 0)]

Finished = tuple[list[Progress], dict[str, Any]]


def report_of(values: list[Progress]) -> dict[str, Any]:
    result = values[-1]
    assert isinstance(result, ResultReady)
    (path,) = [file.path for file in result.files if file.name == "report.json"]
    report: dict[str, Any] = json.loads(path.read_text())
    return report


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    directory = tmp_path_factory.mktemp("whole")
    values = list(DistillationPipeline(interactions(), SPEC, directory, SHA).run())
    return values, report_of(values)


def steps_of(values: list[Progress], series: str) -> list[StepFinished]:
    return [value for value in values if isinstance(value, StepFinished) and series in value.metrics]


def test_learned_baselines_run_in_the_evaluation_before_any_student(finished: Finished) -> None:
    values, _ = finished
    matching = steps_of(values, "distribution_matching_loss") + steps_of(values, "trajectory_matching_loss")
    first = matching[0].step
    assert first > 1, "how hard sequences are drawn is chosen before"
    assert [step.step for step in matching] == list(range(first, first + 6))
    assert {step.phase for step in matching} == {"evaluation"}
    assert "distribution_matching_validation" in matching[2].metrics
    first_training = steps_of(values, "full_data_training_loss")[0]
    assert first_training.step > first + 5
    assert [step.done for step in matching] == sorted(step.done for step in matching)


def test_the_report_has_every_side_its_size_and_its_seconds(finished: Finished) -> None:
    _, report = finished
    student = report["students"]["sasrec"]
    for side in BASELINES:
        assert student[f"ratio_{side}"]["ndcg@10"]["mean"] > 0
        assert set(report["sides"][side]) == {"sequences", "events", "bytes", "percent_of_events", "percent_of_bytes"}
    assert report["sides"]["trajectory_matching"] == report["size"]
    assert report["sides"]["random_equal_bytes"]["sequences"] > report["sides"]["head"]["sequences"] == 3
    assert report["seconds"]["distil_trajectory_matching"] > 0
    assert "3 outer steps" in report["protocol"]["learned_baselines"]
    assert report["protocol"]["max_steps"] == {"full_data": 12, "random_equal_bytes": 12, "others": 8}


@pytest.mark.parametrize(
    "stop_at", [("distribution_matching_loss", 1), ("trajectory_matching_loss", 0), ("head_training_loss", 0)]
)
def test_resume_around_learned_baselines_is_bit_equal(finished: Finished, tmp_path: Path, stop_at: tuple[str, int]) -> None:
    values, report = finished
    series, number = stop_at
    at = values.index(steps_of(values, series)[number])
    stopped = DistillationPipeline(interactions(), SPEC, tmp_path / "stopped", SHA)
    running = stopped.run()
    for _ in range(at + 1):
        next(running)
    stopped.save_checkpoint(tmp_path / "checkpoint")
    resumed = list(DistillationPipeline.resume(tmp_path / "checkpoint", interactions(), SPEC, tmp_path / "resumed", SHA).run())
    assert resumed[0] == PhaseStarted("evaluation")
    assert resumed[1:-1] == values[at + 1 : -1]
    for side in BASELINES:
        assert report_of(resumed)["students"]["sasrec"][side] == report["students"]["sasrec"][side]


def test_trajectory_matching_trains_a_teacher_where_the_start_needs_none(tmp_path: Path) -> None:
    spec = tiny_spec(
        synthetic={"init": "random"}, evaluation={"baselines": ["trajectory_matching"], "num_seeds": 1}, outer={"num_steps": 1}
    )
    values = list(DistillationPipeline(interactions(), spec, tmp_path, SHA).run())
    assert steps_of(values, "teacher_loss")
    assert steps_of(values, "trajectory_matching_loss")


@pytest.mark.parametrize("baseline", ["head", "head_equal_bytes"])
def test_the_longest_sequences_of_a_text_are_refused_before_any_work(tmp_path: Path, baseline: str) -> None:
    student = {"architecture": "transformer_lm", "num_heads": 2}
    spec = tiny_spec("language_modeling", student=student, evaluation={"baselines": [baseline]})
    with pytest.raises(ConfigError, match="a text is one stream") as caught:
        DistillationPipeline(text(), spec, tmp_path / "out", SHA)
    assert caught.value.pointer == "/evaluation/baselines"
