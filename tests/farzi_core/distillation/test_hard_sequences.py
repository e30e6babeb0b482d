"""Trials of the rules of hard sequences, and draws that need teachers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from farzi_core.config import Task
from farzi_core.distillation.checkpoint import Checkpoint
from farzi_core.distillation.coverage import Coverage
from farzi_core.distillation.descent import Distilled
from farzi_core.distillation.hard_sequences import HardSequences
from farzi_core.distillation.mean_prediction import MeanPrediction
from farzi_core.distillation.setting import Setting, prepare_setting
from farzi_core.distillation.start import make_start
from farzi_core.distillation.teachers import TeacherTraining, TeacherTrajectory
from farzi_core.errors import ArtifactError
from farzi_core.hard_rules import RULES, SOFT_TOKENS_ALONE, Rule
from farzi_core.synthetic.hard import draw_hard_sequences
from tests.farzi_core.markov import interactions, text, tiny_spec

Prepared = tuple[Setting, list[TeacherTrajectory], Distilled]


def prepare(**overrides: Any) -> Prepared:
    spec = tiny_spec(teacher={"num_steps": 30, "lr": 0.05}, **overrides)
    setting = prepare_setting(interactions(), spec)
    teachers = []
    if spec.needs_teacher:
        training = TeacherTraining(setting, 0)
        while not training.finished:
            training.advance()
        teachers.append(training.trajectory())
    return setting, teachers, Distilled(make_start(setting, teachers), 0.02)


def finish(work: HardSequences) -> Distilled:
    while not work.finished:
        work.advance()
    return work.result


def prepared_of(distilled: Distilled) -> Tensor:
    assert distilled.synthetic.prepared_draws is not None
    return distilled.synthetic.prepared_draws


def num_different(draws: Tensor) -> int:
    return len({tuple(draw) for draw in draws.flatten(1).tolist()})


def test_validation_chooses_among_all_rules_and_the_best_is_drawn() -> None:
    setting, teachers, distilled = prepare(hard_sequences={"prepared_draws": 5})
    work = HardSequences(setting, teachers, distilled)
    result = finish(work)
    assert tuple(work.validations) == RULES
    best = max(work.validations.values())
    clearly = best > 1.03 * work.validations[SOFT_TOKENS_ALONE]
    assert work.validations[work.rule] == (best if clearly else work.validations[SOFT_TOKENS_ALONE])
    assert len(set(work.validations.values())) > 1
    if work.rule == SOFT_TOKENS_ALONE:
        assert result is distilled
    else:
        assert prepared_of(result).shape == (5, 3, 8)


@pytest.mark.parametrize("best", RULES)
def test_whichever_rule_is_best_is_the_one(best: Rule) -> None:
    setting, teachers, distilled = prepare(hard_sequences={"prepared_draws": 2})
    work = HardSequences(setting, teachers, distilled)
    work.validations = {rule: 0.2 + (rule == best) for rule in RULES}
    assert work.rule == best
    assert work.num_prepared == (0 if best == SOFT_TOKENS_ALONE else 2)


@pytest.mark.parametrize(
    ("task", "alone", "other"), [("sequential_recommendation", 0.2, 0.205), ("language_modeling", 90.0, 88.0)]
)
def test_a_rule_that_is_hardly_better_than_the_soft_tokens_alone_is_not_taken(task: Task, alone: float, other: float) -> None:
    setting = prepare_setting(text() if task == "language_modeling" else interactions(), tiny_spec(task))
    training = TeacherTraining(setting, 0)
    while not training.finished:
        training.advance()
    teachers = [training.trajectory()]
    work = HardSequences(setting, teachers, Distilled(make_start(setting, teachers), 0.02))
    worse = 2 * alone if task == "language_modeling" else alone / 2
    work.validations = dict.fromkeys(RULES, worse) | {SOFT_TOKENS_ALONE: alone, RULES[-1]: other}
    assert work.rule == SOFT_TOKENS_ALONE
    work.validations[RULES[-1]] = other + 3 * (other - alone)
    assert work.rule == RULES[-1]


def test_of_a_perplexity_the_lowest_is_best() -> None:
    spec = tiny_spec("language_modeling")
    setting = prepare_setting(text(), spec)
    training = TeacherTraining(setting, 0)
    while not training.finished:
        training.advance()
    teachers = [training.trajectory()]
    work = HardSequences(setting, teachers, Distilled(make_start(setting, teachers), 0.02))
    finish(work)
    alone = work.validations[SOFT_TOKENS_ALONE]
    best = min(work.validations.values())
    assert work.validations[work.rule] == (best if best < 0.97 * alone else alone)


def test_a_rule_that_was_asked_for_is_not_tried() -> None:
    setting, teachers, distilled = prepare(hard_sequences={"rule": [0.0, 2.0], "prepared_draws": 3})
    work = HardSequences(setting, teachers, distilled)
    result = finish(work)
    assert work.validations == {}
    assert work.rule == (0.0, 2.0, 0.0)
    assert prepared_of(result).shape == (3, 3, 8)


@pytest.mark.parametrize(
    "overrides", [{"hard_sequences": {"rule": [1.0, 0.0]}}, {"synthetic": {"init": "random"}}], ids=["asked for", "no teacher"]
)
def test_soft_tokens_alone_leave_nothing_to_do(overrides: dict[str, Any]) -> None:
    setting, teachers, distilled = prepare(**overrides)
    work = HardSequences(setting, teachers, distilled)
    assert work.finished
    assert work.rule == SOFT_TOKENS_ALONE
    assert work.result is distilled


def test_a_rule_of_predictions_asks_for_a_teacher() -> None:
    noise: dict[str, Any] = {"synthetic": {"init": "random"}}
    assert not tiny_spec(**noise).needs_teacher
    assert tiny_spec(**noise, hard_sequences={"rule": [1.0, 1.0]}).needs_teacher
    setting, teachers, distilled = prepare(**noise, hard_sequences={"rule": [1.0, 1.0], "prepared_draws": 2})
    assert prepared_of(finish(HardSequences(setting, teachers, distilled))).shape == (2, 3, 8)


def test_more_prepared_draws_begin_with_fewer_and_blocks_of_rows_make_as_many(monkeypatch: pytest.MonkeyPatch) -> None:
    def draws(number: int) -> Tensor:
        setting, teachers, distilled = prepare(hard_sequences={"rule": [0.5, 1.5, 1.0], "prepared_draws": number})
        return prepared_of(finish(HardSequences(setting, teachers, distilled)))

    many = draws(4)
    assert torch.equal(many[:2], draws(2))
    assert not torch.equal(many[0], many[1])
    monkeypatch.setattr("farzi_core.distillation.hard_sequences._BLOCK_NUMBERS", 1)
    assert draws(1).shape == (1, 3, 8)


def test_large_exponents_draw_the_mode_and_events_differ_where_real_ones_do() -> None:
    setting, teachers, distilled = prepare(hard_sequences={"rule": [10.0, 10.0], "prepared_draws": 20})
    setting = replace(setting, repeats_allowed=False)
    sharp = prepared_of(finish(HardSequences(setting, teachers, distilled)))
    assert num_different(sharp) < 20
    assert all(len(set(row)) == 8 for row in sharp.flatten(0, 1).tolist())
    most_likely = distilled.synthetic.probabilities()[:, 0].argmax(-1)
    assert (sharp[:, :, 0] == most_likely).float().mean() > 0.9
    flat = prepare(hard_sequences={"rule": [0.0, 0.01], "prepared_draws": 20})
    assert num_different(prepared_of(finish(HardSequences(*flat)))) == 20


def test_coverage_brings_events_nearer_to_their_shares() -> None:
    def distance(coverage: float) -> float:
        setting, teachers, distilled = prepare(hard_sequences={"rule": [0.0, 3.0, coverage], "prepared_draws": 20})
        drawn = prepared_of(finish(HardSequences(setting, teachers, distilled)))
        shares = MeanPrediction(setting, [teacher.best_params for teacher in teachers]).first_event
        found = torch.bincount(drawn.flatten(), minlength=setting.vocab_size) / drawn.numel()
        return float((found - shares).abs().sum())

    assert distance(5.0) < distance(1.0) < distance(0.0)
    assert distance(5.0) < distance(0.0) / 3


def test_coverage_counts_the_draws_before(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[Tensor] = []
    count = Coverage.count

    def count_and_note(coverage: Coverage, events: Tensor) -> None:
        counted.append(events)
        count(coverage, events)

    monkeypatch.setattr(Coverage, "count", count_and_note)
    work = HardSequences(*prepare(hard_sequences={"rule": [0.0, 2.0, 1.0], "prepared_draws": 3}))
    draws = prepared_of(finish(work))
    # Before each draw those that there are already, then its own, position by position.
    whole = [events for events in counted if events.shape == (3, 8)]
    assert [torch.equal(events, draws[i]) for events, i in zip(whole, (0, 0, 1), strict=True)] == [True] * 3
    assert sum(events.shape == (3, 1) for events in counted) == 3 * 8


@pytest.mark.parametrize("num_steps", [0, 3, 14, 33, 36])
def test_a_resumed_choice_is_bit_equal(num_steps: int, tmp_path: Path) -> None:
    setting, teachers, distilled = prepare(hard_sequences={"prepared_draws": 5})
    # A rule of teachers wins, so that draws are made as well.
    distilled = Distilled(distilled.synthetic.with_tensors({k: 0 * v for k, v in distilled.synthetic.tensors().items()}), 0.02)
    whole = HardSequences(setting, teachers, distilled)
    expected = finish(whole)
    work = HardSequences(setting, teachers, distilled)
    for _ in range(num_steps):
        if not work.finished:
            work.advance()
    work.checkpoint().save(tmp_path)
    resumed = HardSequences(setting, teachers, distilled)
    resumed.restore(Checkpoint.load(tmp_path))
    assert torch.equal(prepared_of(finish(resumed)), prepared_of(expected))
    assert resumed.validations == whole.validations


def test_trials_of_other_rules_are_not_gone_on_from() -> None:
    setting, teachers, distilled = prepare()
    work = HardSequences(setting, teachers, distilled)
    for _ in range(20):
        work.advance()
    checkpoint = work.checkpoint()
    other = Checkpoint(checkpoint.tensors, checkpoint.values | {"rules": [[1.0, 0.0], [0.0, 2.0]]})
    with pytest.raises(ArtifactError, match="other rules of hard sequences"):
        HardSequences(setting, teachers, distilled).restore(other)


def test_prepared_draws_come_first_whatever_the_seed() -> None:
    setting, teachers, distilled = prepare(hard_sequences={"rule": [0.0, 1.0], "prepared_draws": 6})
    synthetic = finish(HardSequences(setting, teachers, distilled)).synthetic
    prepared = prepared_of(Distilled(synthetic, 0.02))
    eight = draw_hard_sequences(synthetic, 8, seed=3).reshape(8, 3, 8)
    assert torch.equal(draw_hard_sequences(synthetic, 4, seed=3).reshape(4, 3, 8), eight[:4])
    assert torch.equal(eight[:6], prepared.roll(-3, 0))
    alone = draw_hard_sequences(replace(synthetic, prepared_draws=None), 8, seed=3).reshape(8, 3, 8)
    assert torch.equal(eight[6:], alone[6:])
    assert not torch.equal(draw_hard_sequences(synthetic, 4, seed=4).reshape(4, 3, 8), eight[:4])


@pytest.mark.parametrize("rule", [[0, 0], [2, 0], [1, 0, 1], [-1, 1], [0, 11], [0, 2, -1], [0, 2, 11], [1], [0, 2, 1, 0]])
def test_rules_that_draw_by_nothing_are_refused(rule: list[float]) -> None:
    with pytest.raises(ValidationError):
        tiny_spec(hard_sequences={"rule": rule})
