from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from farzi_core import pipeline as pipeline_module
from farzi_core.artifacts import load_synthetic
from farzi_core.config import DistillationSpec
from farzi_core.data.sequences import SequenceDataset
from farzi_core.data_choices import fill_in
from farzi_core.distillation.outer_loop import OuterLoop
from farzi_core.distillation.setting import Setting
from farzi_core.distillation.teachers import TeacherTrajectory
from farzi_core.errors import ArtifactError, ConfigError
from farzi_core.hard_rules import RULES, SOFT_TOKENS_ALONE, list_rules
from farzi_core.pipeline import PHASES, DistillationPipeline
from farzi_core.progress import (
    OuterLoopEnded,
    Phase,
    PhaseStarted,
    Progress,
    ResultReady,
    StepFinished,
    ValidationMeasured,
)
from farzi_core.sequence_files import read_sequences_jsonl, read_vocabulary
from farzi_core.soft_tokens import PREPARED_DRAWS, read_soft_tokens
from tests.farzi_core.markov import draw_chains, interactions, make_dataset, text, tiny_spec

SHA = "0" * 64


def run(pipeline: DistillationPipeline) -> list[Progress]:
    return list(pipeline.run())


def result_of(values: list[Progress]) -> ResultReady:
    assert isinstance(values[-1], ResultReady)
    return values[-1]


def without_seconds(value: Any) -> Any:
    """Drop everything measured by a clock."""
    if isinstance(value, dict):
        timed = ("seconds", "train_seconds", "break_even_trainings", "speedup_to_same_metric")
        return {name: without_seconds(part) for name, part in value.items() if name not in timed}
    if isinstance(value, list):
        return [without_seconds(part) for part in value]
    return value


def numbers_of(result: ResultReady) -> tuple[torch.Tensor, Any, str]:
    paths = {file.name: file.path for file in result.files}
    synthetic = load_synthetic(paths["synthetic.safetensors"]).synthetic
    report = without_seconds(json.loads(paths["report.json"].read_text()))
    return synthetic.logits(), report, paths["sequences.jsonl"].read_text()


def assert_equal(found: ResultReady, expected: ResultReady) -> None:
    ours, theirs = numbers_of(found), numbers_of(expected)
    assert torch.equal(ours[0], theirs[0])
    assert ours[1:] == theirs[1:]


TEXT_SPEC = tiny_spec("language_modeling", student={"architecture": "transformer_lm", "num_heads": 2})
SAMPLED_SPEC = tiny_spec(synthetic={"inputs": "sampled_events"}, teacher={"num_trajectories": 2})
CASES = {
    "interactions": (interactions(), tiny_spec()),
    "sampled_events": (interactions(), SAMPLED_SPEC),
    "text": (text(), TEXT_SPEC),
}


@pytest.fixture(scope="module", params=CASES)
def finished(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[SequenceDataset, DistillationSpec, list[Progress]]:
    dataset, spec = CASES[request.param]
    directory = tmp_path_factory.mktemp("whole")
    return dataset, spec, run(DistillationPipeline(dataset, spec, directory, SHA))


Finished = tuple[SequenceDataset, DistillationSpec, list[Progress]]


def test_phases_come_in_order_and_progress_rises_to_its_total(finished: Finished) -> None:
    _, spec, values = finished
    assert [value.phase for value in values if isinstance(value, PhaseStarted)] == list(PHASES)
    steps = [value for value in values if isinstance(value, StepFinished)]
    done = [step.done for step in steps]
    assert done == sorted(done)
    assert all(step.done < step.total for step in steps[:-1])
    assert steps[-1].done == steps[-1].total
    totals = [step.total for step in steps]
    assert totals == sorted(totals, reverse=True)
    outer = [step for step in steps if step.phase == "distillation"]
    assert [step.step for step in outer] == list(range(1, (spec.outer.num_steps or 0) + 1))
    assert all(np.isfinite(list(step.metrics.values())).all() for step in steps)


def test_steps_of_a_series_rise(finished: Finished) -> None:
    series: dict[str, list[int]] = {}
    for value in finished[2]:
        if isinstance(value, StepFinished):
            for name in value.metrics:
                series.setdefault(name, []).append(value.step)
    assert {"teacher_loss", "outer_loss", "distilled_training_loss"} <= set(series)
    assert all(steps == sorted(set(steps)) for steps in series.values())


def test_validations_name_their_metric(finished: Finished) -> None:
    dataset, _, values = finished
    metric = "perplexity" if dataset.task == "language_modeling" else "ndcg@10"
    validations = [value for value in values if isinstance(value, ValidationMeasured)]
    assert [validation.step for validation in validations] == [0, 2, 4]
    assert validations[0].best
    first_step = next(value for value in values if isinstance(value, StepFinished) and value.phase == "distillation")
    assert values.index(validations[0]) < values.index(first_step), "the start is judged before the first step"
    assert set(validations[0].metrics) == {f"{side}validation_{metric}" for side in ("", "full_data_", "random_")}
    assert len({validation.metrics[f"random_validation_{metric}"] for validation in validations}) == 1


def test_the_result_is_complete(finished: Finished) -> None:
    dataset, spec, values = finished
    result = result_of(values)
    paths = {file.name: file.path for file in result.files}
    assert set(paths) == {
        "synthetic.safetensors",
        "sequences.jsonl",
        "sequences.parquet",
        "vocabulary.json",
        "report.json",
        "report.html",
    }
    content = load_synthetic(paths["synthetic.safetensors"])
    assert content.synthetic.tensors()["latents"].shape == (3, 8, 8)
    assert content.task == dataset.task
    assert content.training["num_steps"] >= 1
    assert content.training["hard_sequences"]["draws"] == 4, "as many as are published"
    assert content.training == json.loads(paths["report.json"].read_text())["training"]
    records = read_sequences_jsonl(paths["sequences.jsonl"])
    assert len(records) == 4 * 3
    assert set(records[0]["events"]) <= set(read_vocabulary(paths["vocabulary.json"]))
    report = json.loads(paths["report.json"].read_text())
    assert report["task"] == dataset.task
    metric = "perplexity" if dataset.task == "language_modeling" else "ndcg@10"
    assert metric in report["students"][spec.student.architecture]["full_data"]
    assert result.manifest["spec"] == fill_in(spec, dataset.summary()).model_dump(mode="json")
    assert result.manifest["data_sha256"] == SHA
    assert result.summary[f"distilled_{metric}"] > 0
    assert result.summary["distil_seconds"] > 0


def test_hard_sequences_are_drawn_by_the_rule_that_validation_chose(finished: Finished) -> None:
    _, spec, values = finished
    paths = {file.name: file.path for file in result_of(values).files}
    report = json.loads(paths["report.json"].read_text())
    told = report["hard_sequences"]
    assert [tuple(row["rule"]) for row in told["tried"]] == list(list_rules(spec)) == list(RULES)
    better = min if "perplexity" in report["students"][spec.student.architecture]["full_data"] else max
    best = better(told["tried"], key=lambda row: row["validation"])
    assert told["rule"] == best["rule"]
    content = load_synthetic(paths["synthetic.safetensors"])
    assert list(content.hard_rule) == told["rule"]
    prepared = content.synthetic.prepared_draws
    assert told["prepared_draws"] == (0 if content.hard_rule == SOFT_TOKENS_ALONE else 16)
    assert told["prepared_draws"] == (0 if prepared is None else len(prepared))
    assert report["seconds"]["hard_sequences"] > 0
    page = paths["report.html"].read_text()
    assert "exponents of soft token, prediction and expected / drawn" in page
    assert f"{best['validation']:.4f}" in page


def test_prepared_draws_are_what_is_published_and_judged(tmp_path: Path) -> None:
    spec = tiny_spec(hard_sequences={"rule": [0.0, 2.0], "prepared_draws": 5}, evaluation={"hard_variants": []})
    pipeline = DistillationPipeline(interactions(), spec, tmp_path, SHA)
    result = result_of(list(pipeline.run()))
    paths = {file.name: file.path for file in result.files}
    prepared = load_synthetic(paths["synthetic.safetensors"]).synthetic.prepared_draws
    assert prepared is not None
    assert prepared.shape == (5, 3, 8)
    tokens = read_vocabulary(paths["vocabulary.json"])
    named = {tuple(tokens[event] for event in row) for row in prepared.flatten(0, 1).tolist()}
    records = read_sequences_jsonl(paths["sequences.jsonl"])
    assert {tuple(record["events"]) for record in records} <= named
    assert len(records) == 4 * 3
    report = json.loads(paths["report.json"].read_text())
    assert report["hard_sequences"] == {"rule": [0.0, 2.0, 0.0], "prepared_draws": 5, "tried": []}
    assert report["sides"]["hard"]["events"] == 4 * 3 * 8
    assert report["size"]["bytes"] == 4 * (3 * 8 * 8 + 8 * 12), "soft tokens do not need them"
    page = paths["report.html"].read_text()
    assert "5 draws of each synthetic sequence were made with the teachers" in page
    assert "favours events" not in page.partition("How hard sequences are drawn")[2].partition("<h2>")[0], "of no coverage"


def test_the_outer_loop_says_how_it_ended(finished: Finished) -> None:
    dataset, spec, values = finished
    (ended,) = (value for value in values if isinstance(value, OuterLoopEnded))
    assert isinstance(values[values.index(ended) + 1], PhaseStarted)
    assert (ended.steps, ended.planned_steps, ended.ended_by) == (4, 4, "all_steps")
    result = result_of(values)
    told = json.loads(next(file.path for file in result.files if file.name == "report.json").read_text())["outer_loop"]
    validations = [value for value in values if isinstance(value, ValidationMeasured)]
    assert told["best_step"] == ended.best_step == [value.step for value in validations if value.best][-1]
    assert told["message"] == ended.message
    metric = "perplexity" if dataset.task == "language_modeling" else "ndcg@10"
    measured = {value.step: value.metrics[f"validation_{metric}"] for value in validations}
    assert told["metric"] == metric
    assert told["validation"] == {
        "start": measured[0],
        "best": measured[told["best_step"]],
        "full_data_teacher": validations[0].metrics[f"full_data_validation_{metric}"],
    }
    assert told["curves"]["validation"] == {"steps": list(measured), "values": list(measured.values())}
    outer = [value for value in values if isinstance(value, StepFinished) and value.phase == "distillation"]
    for name in ("outer_loss", "meta_gradient_norm"):
        assert told["curves"][name] == {"steps": [1, 2, 3, 4], "values": [step.metrics[name] for step in outer]}
    assert (result.summary["outer_steps"], result.summary["best_outer_step"]) == (4.0, float(ended.best_step))
    page = next(file.path for file in result.files if file.name == "report.html").read_text()
    assert ended.message in page
    assert spec.outer.patience is None


@pytest.mark.parametrize("phase", PHASES)
def test_resume_in_every_phase_is_bit_equal(finished: Finished, tmp_path: Path, phase: Phase) -> None:
    dataset, spec, values = finished
    stopped = DistillationPipeline(dataset, spec, tmp_path / "stopped", SHA)
    seen: list[Progress] = []
    for value in stopped.run():
        seen.append(value)
        # In the middle of a phase: at its second step, or where it starts if it has one only.
        in_phase = [old for old in seen if isinstance(old, StepFinished) and old.phase == phase]
        if len(in_phase) == 2 or (phase in {"teacher", "artifacts"} and value == PhaseStarted(phase)):
            break
    stopped.save_checkpoint(tmp_path / "checkpoint")
    resumed = DistillationPipeline.resume(tmp_path / "checkpoint", dataset, spec, tmp_path / "resumed", SHA)
    rest = run(resumed)
    assert isinstance(rest[0], PhaseStarted)
    assert rest[0].phase == phase
    assert strip(seen + rest[1:]) == strip(values)
    assert_equal(result_of(rest), result_of(values))


def strip(values: list[Progress]) -> list[Progress]:
    """Leave out the result, whose paths and seconds differ, and a phase's start that was met twice."""
    return [value for value in values if not isinstance(value, ResultReady | PhaseStarted)]


def test_a_checkpoint_can_be_taken_at_any_yield(tmp_path: Path) -> None:
    dataset, spec = CASES["interactions"]
    spec = spec.model_copy(update={"evaluation": spec.evaluation.model_copy(update={"num_seeds": 1})})
    whole = DistillationPipeline(dataset, spec, tmp_path / "whole", SHA)
    values: list[Progress] = []
    for number, value in enumerate(whole.run()):
        values.append(value)
        whole.save_checkpoint(tmp_path / f"{number}")
    # The one after a validated step: the validation that was not yet told must not be lost.
    at = next(i for i, value in enumerate(values) if isinstance(value, ValidationMeasured) and value.step) - 1
    start = next(i for i, value in enumerate(values) if isinstance(value, ValidationMeasured))
    ended = next(i for i, value in enumerate(values) if isinstance(value, OuterLoopEnded))
    for number in (0, start, at, at + 1, ended - 1, ended, len(values) - 3):
        resumed = DistillationPipeline.resume(tmp_path / f"{number}", dataset, spec, tmp_path / f"resumed {number}", SHA)
        assert strip(run(resumed)) == strip(values[number + 1 :]), number


def test_a_damaged_or_foreign_checkpoint_is_refused(tmp_path: Path) -> None:
    dataset, spec = CASES["interactions"]
    pipeline = DistillationPipeline(dataset, spec, tmp_path, SHA)
    pipeline.save_checkpoint(tmp_path / "checkpoint")
    with pytest.raises(ArtifactError, match="other data"):
        DistillationPipeline.resume(tmp_path / "checkpoint", dataset, spec, tmp_path, "1" * 64)
    other = spec.model_copy(update={"seed": 5})
    with pytest.raises(ArtifactError, match="another spec"):
        DistillationPipeline.resume(tmp_path / "checkpoint", dataset, other, tmp_path, SHA)
    (tmp_path / "checkpoint" / "checkpoint.safetensors").write_bytes(b"no")
    with pytest.raises(ArtifactError):
        DistillationPipeline.resume(tmp_path / "checkpoint", dataset, spec, tmp_path, SHA)


def test_what_can_be_known_early_is_known_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="only 60"):
        DistillationPipeline(interactions(), tiny_spec(synthetic={"num_sequences": 100}), tmp_path / "out", SHA)
    assert not (tmp_path / "out").exists()


def test_a_start_from_noise_has_no_teacher_phase_work(tmp_path: Path) -> None:
    spec = tiny_spec(synthetic={"init": "random"}, evaluation={"num_seeds": 1})
    values = run(DistillationPipeline(interactions(), spec, tmp_path, SHA))
    assert not [value for value in values if isinstance(value, StepFinished) and value.phase == "teacher"]
    validation = next(value for value in values if isinstance(value, ValidationMeasured))
    assert set(validation.metrics) == {"validation_ndcg@10", "random_validation_ndcg@10"}


def test_distilled_beats_random_sequences_of_the_same_size(tmp_path: Path) -> None:
    dataset = make_dataset(draw_chains(300, 40, (12, 30), seed=3), 40)
    spec = tiny_spec(
        student={"hidden_size": 16, "max_length": 20},
        synthetic={"num_sequences": 4, "sequence_length": 16, "latent_dim": 16},
        inner={"num_steps": 40, "min_steps": 15, "lr": 0.02},
        outer={"num_steps": 60, "validate_every": 20, "batch_size": 64, "lr": 0.05},
        meta_gradient={"window": 8},
        teacher={"num_steps": 150, "batch_size": 64, "lr": 0.01},
        evaluation={"max_steps": 100, "num_validations": 20, "num_seeds": 2},
    )
    summary = result_of(run(DistillationPipeline(dataset, spec, tmp_path, SHA))).summary
    assert summary["full_data_ndcg@10"] > summary["distilled_ndcg@10"] > 1.15 * summary["random_ndcg@10"]


def test_the_seconds_of_a_distillation_count_the_making_of_the_start_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock:
        now = 0.0

        def perf_counter(self) -> float:
            return self.now

    clock = Clock()

    class SlowToStart(OuterLoop):
        def __init__(self, setting: Setting, teachers: Sequence[TeacherTrajectory]) -> None:
            super().__init__(setting, teachers)
            clock.now += 1000.0

    monkeypatch.setattr(pipeline_module, "time", clock)
    monkeypatch.setattr(pipeline_module, "OuterLoop", SlowToStart)
    spec = tiny_spec(synthetic={"init": "random"}, evaluation={"num_seeds": 1, "baselines": []})
    pipeline = DistillationPipeline(interactions(), spec, tmp_path, SHA)
    for value in pipeline.run():
        if isinstance(value, StepFinished):
            break
    pipeline.save_checkpoint(tmp_path / "checkpoint")
    resumed = DistillationPipeline.resume(tmp_path / "checkpoint", interactions(), spec, tmp_path, SHA)
    assert clock.now == 2000.0, "a resumed run makes the start once more"
    assert result_of(run(resumed)).summary["distil_seconds"] == 1000.0


@pytest.mark.parametrize("form", ["tucker", "free"])
def test_every_parameterisation_is_published_and_its_file_alone_gives_the_sequences(form: str, tmp_path: Path) -> None:
    spec = tiny_spec(synthetic={"parameterization": form, "learn_temperature": True}, evaluation={"num_seeds": 1})
    dataset = interactions()
    result = result_of(run(DistillationPipeline(dataset, spec, tmp_path, SHA)))
    paths = {file.name: file.path for file in result.files}
    found = read_soft_tokens(paths["synthetic.safetensors"])
    assert found.header["parameterization"] == form
    assert "log_temperature" in found.tensors
    tokens = read_vocabulary(paths["vocabulary.json"])
    drawn = [[tokens[event] for event in row] for row in found.draw(4)]
    assert [record["events"] for record in read_sequences_jsonl(paths["sequences.jsonl"])] == drawn
    size = json.loads(paths["report.json"].read_text())["size"]
    assert size["bytes"] == sum(tensor.nbytes for name, tensor in found.tensors.items() if name != PREPARED_DRAWS)
