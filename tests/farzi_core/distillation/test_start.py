from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F  # noqa: N812  torch's own idiom

from farzi_core.distillation.outer_loop import OuterLoop
from farzi_core.distillation.setting import prepare_setting
from farzi_core.distillation.start import make_start
from farzi_core.distillation.teachers import TeacherTraining, TeacherTrajectory
from farzi_core.errors import ConfigError
from farzi_core.seeding import derive_generator
from farzi_core.synthetic.base import Synthetic
from farzi_core.synthetic.sharpness import prediction_entropy, start_entropy
from tests.farzi_core.markov import interactions, tiny_spec

NAMES = {
    "factorized": ["latents", "token_decoder"],
    "tucker": ["core", "sequence_factors", "position_factors", "token_decoder"],
    "free": ["token_scores"],
}


def start(**synthetic: object) -> Synthetic:
    setting = prepare_setting(interactions(), tiny_spec(synthetic=synthetic))
    teacher = TeacherTraining(setting, 0)
    teacher.advance()
    return make_start(setting, [teacher.trajectory()])


@pytest.mark.parametrize("init", ["teacher", "real", "random"])
@pytest.mark.parametrize("parameterization", NAMES)
def test_every_parameterisation_starts_from_a_teacher_from_real_data_and_from_noise(parameterization: str, init: str) -> None:
    made = start(parameterization=parameterization, init=init)
    assert list(made.tensors()) == NAMES[parameterization]
    assert made.shape == (3, 8, 12)
    torch.testing.assert_close(made.probabilities().sum(-1), torch.ones(3, 8))
    if init != "random":
        entropy = {"teacher": prediction_entropy, "real": start_entropy}[init](12)
        assert made.entropy().mean().item() == pytest.approx(entropy, rel=1e-3)


def test_a_teachers_start_expects_what_the_teacher_expects() -> None:
    setting = prepare_setting(interactions(), tiny_spec())
    training = TeacherTraining(setting, 0)
    while not training.finished:
        training.advance()
    teacher = training.trajectory()
    params, student = teacher.best_params, setting.student
    size = setting.spec.synthetic
    events = setting.real.pick_whole(size.num_sequences, size.length, derive_generator(setting.spec.seed, "start"))
    hidden = student.encode(params, student.embed_events(params, events))[:, :-1]
    # What is added to the teacher's scores favours the event that came, and those like it.
    added = make_start(setting, [teacher]).logits()[:, 1:] - student.event_logits(params, hidden)
    directions = F.normalize(student.event_table(params), dim=1)
    shape = directions[events[:, 1:]] @ student.event_table(params).T
    factor = (added * shape).sum() / shape.square().sum()
    assert factor.item() > 0.1
    torch.testing.assert_close(added, shape * factor, rtol=1e-3, atol=1e-4)


def test_free_starts_at_the_factorised_soft_tokens() -> None:
    torch.testing.assert_close(start(parameterization="free").probabilities(), start().probabilities())


def test_tucker_with_full_ranks_starts_there_too_and_is_smaller_by_default() -> None:
    full = start(parameterization="tucker", tucker_ranks=[3, 8, 8])
    torch.testing.assert_close(full.probabilities(), start().probabilities(), rtol=1e-3, atol=1e-5)
    assert start(parameterization="tucker").size_bytes < start().size_bytes


def test_ranks_must_fit_the_size_and_the_form() -> None:
    with pytest.raises(ValidationError, match="4 is above num_sequences=3"):
        tiny_spec(synthetic={"parameterization": "tucker", "tucker_ranks": [4, 2, 2]})
    with pytest.raises(ValidationError, match="9 is above sequence_length=8"):
        tiny_spec(synthetic={"parameterization": "tucker", "tucker_ranks": [2, 9, 2]})
    with pytest.raises(ValidationError, match="set it to 'tucker'"):
        tiny_spec(synthetic={"tucker_ranks": [2, 2, 2]})


def test_a_start_near_data_needs_a_teacher() -> None:
    setting = prepare_setting(interactions(), tiny_spec())
    with pytest.raises(ConfigError, match="needs a teacher"):
        make_start(setting, list[TeacherTrajectory]())


@pytest.mark.parametrize("parameterization", NAMES)
def test_the_outer_loop_trains_every_tensor_and_resumes_bit_for_bit(parameterization: str) -> None:
    spec = tiny_spec(synthetic={"parameterization": parameterization, "learn_temperature": True})
    setting = prepare_setting(interactions(), spec)
    teacher = TeacherTraining(setting, 0)
    teacher.advance()
    trajectories = [teacher.trajectory()]
    before = make_start(setting, trajectories).tensors()
    loop, resumed = OuterLoop(setting, trajectories), OuterLoop(setting, trajectories)
    loop.advance()
    resumed.restore(loop.checkpoint())
    for running in (loop, resumed):
        while not running.finished:
            running.advance()
    after = loop.current.synthetic.tensors()
    assert list(after) == [*NAMES[parameterization], "log_temperature"]
    for name, tensor in after.items():
        assert not torch.equal(tensor, before[name]), name
        assert torch.equal(tensor, resumed.current.synthetic.tensors()[name]), name
    assert torch.equal(loop.best.synthetic.logits(), resumed.best.synthetic.logits())
