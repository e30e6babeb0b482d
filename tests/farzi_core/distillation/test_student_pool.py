"""Students that inner loops go on with: where loops start, how old students grow, and that none of it is lost."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from farzi_core.distillation.draws import draw_start_params, make_inner_loss
from farzi_core.distillation.outer_loop import OuterLoop
from farzi_core.distillation.outer_point import OuterPoint
from farzi_core.distillation.setting import Setting, prepare_setting
from farzi_core.distillation.student_pool import StudentPool
from farzi_core.distillation.teachers import TeacherTraining, TeacherTrajectory
from farzi_core.metagrad import adam_step, init_state
from farzi_core.metagrad.vectors import ParamLayout
from farzi_core.students import Params
from tests.farzi_core.markov import interactions, tiny_spec

SIZE, MAX_STEPS, LENGTH = 3, 30, 6


def prepare(**outer: Any) -> Setting:
    pooled = {"pool_size": SIZE, "pool_max_steps": MAX_STEPS, **outer}
    return prepare_setting(interactions(), tiny_spec(outer=pooled))


def train_teacher(setting: Setting) -> list[TeacherTrajectory]:
    teacher = TeacherTraining(setting, 0)
    while not teacher.finished:
        teacher.advance()
    return [teacher.trajectory()]


def point(setting: Setting, step: int = 0) -> OuterPoint:
    scores = torch.randn(3, 8, setting.vocab_size, generator=torch.Generator().manual_seed(1))
    return OuterPoint(scores.softmax(-1), None, 0.02, step)


def equal(ours: Params, theirs: Params) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_without_a_pool_every_loop_starts_at_a_new_student() -> None:
    setting = prepare(pool_size=0, pool_max_steps=None)
    pool = StudentPool(setting, [])
    for step in range(3):
        taken = pool.take(point(setting, step), LENGTH)
        assert equal(taken.params, draw_start_params(setting, [], step))
        pool.put_back(taken, {})
    assert pool.ages == ()


def test_a_pool_begins_with_students_of_all_ages_along_one_training() -> None:
    setting = prepare()
    pool, here = StudentPool(setting, []), point(setting)
    pool.take(here, LENGTH)
    assert pool.ages == (0, 10, 20)

    start = draw_start_params(setting, [], 0)
    layout, adam, loss = ParamLayout(start), setting.inner_adam(0.02), make_inner_loss(setting, 0, None)
    state = init_state(layout.flatten(start))
    for step in range(20):
        flat = state.params.detach().requires_grad_()
        (grad,) = torch.autograd.grad(loss(layout.name(flat), {"probabilities": here.probabilities}, step), flat)
        state = adam_step(state, grad, adam)
    kept = pool.checkpoint().tensors
    for name, expected in layout.name(state.params).items():
        torch.testing.assert_close(kept[f"params.2.{name}"], expected)
    assert all(torch.equal(kept[f"params.0.{name}"], value) for name, value in start.items())


def test_students_go_on_where_their_loops_ended_until_they_have_had_their_steps() -> None:
    setting = prepare()
    pool = StudentPool(setting, [])
    ended: dict[int, Params] = {}
    replaced = 0
    for step in range(60):
        taken = pool.take(point(setting, step), LENGTH)
        assert taken.place is not None
        assert LENGTH <= taken.age <= MAX_STEPS
        if taken.age == LENGTH and taken.place in ended:
            replaced += 1
            assert equal(taken.params, draw_start_params(setting, [], step))
        elif taken.place in ended:
            assert taken.params is ended[taken.place]
        ended[taken.place] = {name: value + 1.0 for name, value in taken.params.items()}
        pool.put_back(taken, ended[taken.place])
        assert pool.ages[taken.place] == taken.age
    assert set(ended) == set(range(SIZE))
    assert replaced >= 5


def test_new_students_come_from_teachers_where_the_spec_says_so() -> None:
    setting = prepare(start_params="trajectories", pool_max_steps=LENGTH)
    teachers = train_teacher(setting)
    pool = StudentPool(setting, teachers)
    pool.take(point(setting), LENGTH)
    taken = pool.take(point(setting, 1), LENGTH)
    assert any(equal(taken.params, checkpoint) for checkpoint in teachers[0].checkpoints)


def test_the_outer_loop_keeps_what_its_inner_loops_made() -> None:
    setting = prepare()
    loop = OuterLoop(setting, train_teacher(setting))
    before = [0, 10, 20]
    for _ in range(3):
        step = loop.advance()
        after = loop.checkpoint().part("pool").values["ages"]
        changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
        assert [new - old for old, new in changed if new > old] in ([], [step.num_inner_steps])
        assert len(changed) <= 1
        before = after
    assert before != [0, 10, 20]


def test_a_pool_changes_what_is_distilled_and_resumes_bit_equal() -> None:
    setting = prepare()
    teachers = train_teacher(setting)
    whole, stopped, taken_up = (OuterLoop(setting, teachers) for _ in range(3))
    for _ in range(2):
        stopped.advance()
    taken_up.restore(stopped.checkpoint())
    for loop in (whole, taken_up):
        while not loop.finished:
            loop.advance()
    assert torch.equal(whole.current.synthetic.logits(), taken_up.current.synthetic.logits())
    assert whole.checkpoint().part("pool").values == taken_up.checkpoint().part("pool").values
    fresh = OuterLoop(prepare(pool_size=0, pool_max_steps=None), teachers)
    while not fresh.finished:
        fresh.advance()
    assert not torch.equal(fresh.current.synthetic.logits(), whole.current.synthetic.logits())


def test_steps_of_a_pool_that_is_not_there_are_refused() -> None:
    with pytest.raises(ValidationError, match="pool_max_steps=30 was given, but pool_size is 0"):
        tiny_spec(outer={"pool_size": 0, "pool_max_steps": 30})
