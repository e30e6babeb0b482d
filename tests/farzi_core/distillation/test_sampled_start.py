"""The start from sequences that teachers make up, and the inner loop whose inputs they are."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from farzi_core.data.sequences import SequenceDataset
from farzi_core.distillation.mean_prediction import MeanPrediction, sample_sequences
from farzi_core.distillation.outer_loop import OuterLoop
from farzi_core.distillation.sampled_start import fit_predictions
from farzi_core.distillation.setting import Setting, prepare_setting
from farzi_core.distillation.start import make_start
from farzi_core.distillation.teachers import TeacherTraining, TeacherTrajectory
from farzi_core.evaluation.training import SoftData
from farzi_core.seeding import derive_generator
from farzi_core.students import soft_next_event_loss
from farzi_core.synthetic.base import Synthetic
from tests.farzi_core.markov import interactions, tiny_spec


def prepare(
    num_teachers: int = 1, dataset: SequenceDataset | None = None, **synthetic: Any
) -> tuple[Setting, list[TeacherTrajectory]]:
    spec = tiny_spec(synthetic={"inputs": "sampled_events", **synthetic}, teacher={"num_steps": 30, "lr": 0.05})
    setting = prepare_setting(dataset or interactions(), spec)
    teachers = []
    for i in range(num_teachers):
        training = TeacherTraining(setting, i)
        while not training.finished:
            training.advance()
        teachers.append(training.trajectory())
    return setting, teachers


def inputs_of(synthetic: Synthetic) -> Tensor:
    assert synthetic.input_events is not None
    return synthetic.input_events


def expectations(setting: Setting, teachers: list[TeacherTrajectory], events: Tensor) -> Tensor:
    """The mean of softmaxes of each teacher alone."""
    student, each = setting.student, []
    for teacher in teachers:
        params = teacher.best_params
        hidden = student.encode(params, student.embed_events(params, events[:, :-1]))
        each.append(student.event_logits(params, hidden).softmax(-1))
    return torch.stack(each).mean(0)


@pytest.mark.parametrize("parameterization", ["factorized", "free"])
def test_one_teacher_is_met_exactly(parameterization: str) -> None:
    setting, teachers = prepare(parameterization=parameterization, temperature=0.5)
    start = make_start(setting, teachers)
    expected = expectations(setting, teachers, inputs_of(start))
    torch.testing.assert_close(start.probabilities()[:, 1:], expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("latent_dim", [3, 8, 16, 20])
def test_several_teachers_are_met_in_the_mean(latent_dim: int) -> None:
    setting, teachers = prepare(3, latent_dim=latent_dim)
    start = make_start(setting, teachers)
    expected = expectations(setting, teachers, inputs_of(start))
    assert start.tensors()["latents"].shape == (3, 8, latent_dim)

    def divergence(found: Tensor) -> float:
        return float((expected * (expected.log() - found.log())).sum(-1).mean())

    found = divergence(start.probabilities()[:, 1:])
    alone = min(divergence(expectations(setting, [teacher], inputs_of(start))) for teacher in teachers)
    assert found < (alone if latent_dim == 3 else 0.01)


def test_the_first_token_is_how_often_events_occur() -> None:
    setting, teachers = prepare(latent_dim=12)
    counts = torch.bincount(torch.from_numpy(setting.split.train.events).long(), minlength=12) + 1.0
    first = make_start(setting, teachers).probabilities()[:, 0]
    assert torch.equal(first[0], first[1])
    overlap = torch.minimum(first[0], counts / counts.sum()).sum()
    assert overlap > 0.9


def test_events_follow_the_teachers_and_do_not_come_twice_where_real_ones_do_not() -> None:
    setting, teachers = prepare(2)
    mean = MeanPrediction(setting, [teacher.best_params for teacher in teachers])

    def draw(*, repeats_allowed: bool, length: int = 10) -> Tensor:
        generator = derive_generator(7)
        return sample_sequences(mean, 400, length, repeats_allowed=repeats_allowed, generator=generator)

    free = draw(repeats_allowed=True)
    assert torch.equal(free, draw(repeats_allowed=True))
    assert free.dtype == torch.int64
    assert int(free.min()) >= 0
    assert int(free.max()) < 12
    expected = expectations(setting, teachers, free).mean((0, 1))
    occurred = torch.bincount(free[:, 1:].flatten(), minlength=12) / free[:, 1:].numel()
    torch.testing.assert_close(occurred, expected, rtol=0, atol=0.03)
    distinct = [len(set(row)) for row in draw(repeats_allowed=False).tolist()]
    assert set(distinct) == {10}
    assert min(len(set(row)) for row in free.tolist()) < 10


def test_fewer_events_than_positions_may_come_twice() -> None:
    setting, teachers = prepare(dataset=interactions(vocab_size=5))
    mean = MeanPrediction(setting, [teacher.best_params for teacher in teachers])
    events = sample_sequences(mean, 4, 8, repeats_allowed=False, generator=derive_generator(0))
    assert events.shape == (4, 8)


def test_a_fit_needs_no_more_than_its_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    setting, teachers = prepare(2)
    mean = MeanPrediction(setting, [teacher.best_params for teacher in teachers])
    events = sample_sequences(mean, 6, 8, repeats_allowed=True, generator=derive_generator(0))
    asked = []
    whole = MeanPrediction.probabilities

    def count(self: MeanPrediction, hidden: Tensor) -> Tensor:
        asked.append(len(hidden))
        return whole(self, hidden)

    monkeypatch.setattr(MeanPrediction, "probabilities", count)
    monkeypatch.setattr("farzi_core.distillation.sampled_start._FIT_BATCH", 10)
    fit_predictions(mean, events, 8, derive_generator(1))
    assert max(asked) == 10
    assert sum(asked) == 60 * 48


def test_the_outer_loop_moves_the_targets_and_leaves_the_inputs() -> None:
    setting, teachers = prepare(2)
    start, loop = make_start(setting, teachers), OuterLoop(setting, teachers)
    while not loop.finished:
        loop.advance()
    assert torch.equal(inputs_of(loop.best.synthetic), inputs_of(start))
    moved = loop.current.synthetic
    assert torch.equal(inputs_of(moved), inputs_of(start))
    assert not torch.allclose(moved.probabilities(), start.probabilities())


def test_a_restored_loop_keeps_the_inputs_it_was_saved_with() -> None:
    setting, teachers = prepare()
    loop = OuterLoop(setting, teachers)
    loop.advance()
    checkpoint = loop.checkpoint()
    name = "descent.input_events"
    checkpoint.tensors[name] = other = (checkpoint.tensors[name] + 1) % 12
    resumed = OuterLoop(setting, teachers)
    resumed.restore(checkpoint)
    assert torch.equal(inputs_of(resumed.best.synthetic), other)


def test_students_are_shown_the_input_events_of_their_batch() -> None:
    setting, teachers = prepare()
    synthetic = make_start(setting, teachers)
    params = setting.student.init_params(derive_generator(3), torch.float32)
    found = SoftData.of(synthetic, 2).loss(setting.student, params, derive_generator(5))
    rows = torch.randperm(3, generator=derive_generator(5))[:2]
    expected = soft_next_event_loss(setting.student, params, synthetic.probabilities()[rows], inputs_of(synthetic)[rows])
    assert torch.equal(found, expected)
    assert synthetic.size_bytes == 4 * (3 * 8 * 8 + 8 * 12) + 4 * 24


@pytest.mark.parametrize("init", ["real", "random"])
def test_sampled_events_need_teachers(init: str) -> None:
    with pytest.raises(ValidationError, match="set it to 'teacher', or inputs to 'soft_tokens'"):
        tiny_spec(synthetic={"inputs": "sampled_events", "init": init})
