from __future__ import annotations

import pytest
import torch

from farzi_core.distillation.setting import prepare_setting
from farzi_core.distillation.teachers import TeacherTraining, pack_trajectory, train_teacher, unpack_trajectory
from farzi_core.evaluation.metrics import summarise
from tests.farzi_core.markov import interactions, tiny_spec


def test_a_teacher_learns_and_its_best_look_is_kept() -> None:
    setting = prepare_setting(interactions(), tiny_spec(teacher={"num_steps": 80, "lr": 0.02}))
    steps = train_teacher(setting)
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as end:
            trajectory = end.value
            break
    looks = [step.validation for step in seen if step.validation is not None]
    measured = summarise(setting.validation.measure(setting.student, trajectory.best_params))[setting.metric]
    assert measured == max(looks) > looks[0]
    assert seen[-1].loss < seen[0].loss
    assert trajectory.checkpoints == ()


def test_teachers_differ_and_are_deterministic() -> None:
    setting = prepare_setting(interactions(), tiny_spec())

    def train(index: int) -> torch.Tensor:
        teacher = TeacherTraining(setting, index)
        while not teacher.finished:
            teacher.advance()
        return teacher.trajectory().best_params["event_embedding"]

    assert torch.equal(train(0), train(0))
    assert not torch.equal(train(0), train(1))


@pytest.mark.parametrize(
    ("num_checkpoints", "at"), [(20, list(range(13))), (12, list(range(13))), (5, [0, 3, 6, 9, 12]), (1, [0, 12])]
)
def test_the_pool_of_checkpoints_has_its_own_size(num_checkpoints: int, at: list[int]) -> None:
    teacher = {"num_checkpoints": num_checkpoints, "patience": 100}
    setting = prepare_setting(interactions(), tiny_spec(outer={"start_params": "mixed"}, teacher=teacher))
    training = TeacherTraining(setting, 0)
    along = [training.training.params["event_embedding"]]
    while not training.finished:
        training.advance()
        along.append(training.training.params["event_embedding"])
    kept = [params["event_embedding"] for params in training.trajectory().checkpoints]
    assert len(kept) == len(at)
    assert all(torch.equal(ours, along[step]) for ours, step in zip(kept, at, strict=True))


def test_resume_and_packing_are_bit_equal() -> None:
    setting = prepare_setting(interactions(), tiny_spec(outer={"start_params": "mixed"}, student={"dropout": 0.3}))
    whole, stopped = TeacherTraining(setting, 0), TeacherTraining(setting, 0)
    while not whole.finished:
        whole.advance()
    for _ in range(5):
        stopped.advance()
    resumed = TeacherTraining(setting, 0)
    resumed.restore(stopped.checkpoint())
    while not resumed.finished:
        resumed.advance()
    expected, found = whole.trajectory(), resumed.trajectory()
    unpacked = unpack_trajectory(pack_trajectory(found), found.best_params)
    for trajectory in (found, unpacked):
        assert len(trajectory.checkpoints) == len(expected.checkpoints) > 2
        pairs = zip(
            [trajectory.best_params, *trajectory.checkpoints], [expected.best_params, *expected.checkpoints], strict=True
        )
        assert all(torch.equal(ours[name], theirs[name]) for ours, theirs in pairs for name in theirs)
