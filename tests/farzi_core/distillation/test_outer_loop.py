from __future__ import annotations

import math

import pytest
import torch

from farzi_core.config import DistillationSpec
from farzi_core.distillation import descent
from farzi_core.distillation.checkpoint import Checkpoint
from farzi_core.distillation.course import Course, describe_ending
from farzi_core.distillation.descent import Distilled
from farzi_core.distillation.outer_loop import OuterLoop, distill
from farzi_core.distillation.setting import Setting, prepare_setting
from farzi_core.distillation.start import make_start
from farzi_core.distillation.teachers import TeacherTraining, TeacherTrajectory
from farzi_core.errors import ConfigError, NumericalError
from farzi_core.metagrad import AdamConfig, adam_step, compute_meta_gradient, init_state
from farzi_core.seeding import derive_generator
from farzi_core.students import next_event_loss, soft_next_event_loss
from tests.farzi_core.markov import interactions, tiny_spec


def prepare(spec: DistillationSpec) -> tuple[Setting, list[TeacherTrajectory]]:
    setting = prepare_setting(interactions(), spec)
    teacher = TeacherTraining(setting, 0)
    while not teacher.finished:
        teacher.advance()
    return setting, [teacher.trajectory()]


def run(loop: OuterLoop) -> Distilled:
    while not loop.finished:
        loop.advance()
    return loop.best


def current(loop: OuterLoop, name: str) -> torch.Tensor:
    return loop.checkpoint().part("descent").tensors[name]


def test_one_step_is_the_recipe_written_out() -> None:
    spec = tiny_spec(precision="float64", outer={"average_decay": 0.9, "num_steps": 3, "clip_norm": 1e-3})
    setting, teachers = prepare(spec)
    start = make_start(setting, teachers)
    loop = OuterLoop(setting, teachers)
    step = loop.advance()

    latents, decoder = (tensor.clone().requires_grad_() for tensor in start.tensors().values())
    probabilities = (latents @ decoder).softmax(-1)
    num_inner_steps = int(torch.randint(3, 7, (1,), generator=derive_generator(0, "num_inner_steps", 0)))
    real = setting.real.draw(16, 11, derive_generator(0, "outer_batch", 0))
    meta = compute_meta_gradient(
        lambda params, synthetic, _: soft_next_event_loss(setting.student, params, synthetic["p"]),
        lambda params: next_event_loss(setting.student, params, real),
        setting.student.init_params(derive_generator(0, "start_params", 0), torch.float64),
        {"p": probabilities.detach()},
        AdamConfig(0.02, (0.95, 0.975), 1e-8, (1 / 3 / setting.vocab_size) ** 2),
        num_inner_steps=num_inner_steps,
        method="truncated",
        window=3,
    )
    grads = torch.autograd.grad(probabilities, [latents, decoder], meta.synthetic["p"])
    flat = torch.cat([grad.flatten() for grad in grads])
    norm = flat.norm()
    before = torch.cat([latents.detach().flatten(), decoder.detach().flatten()])
    after = adam_step(init_state(before), flat * (1e-3 / norm), AdamConfig(0.05, eps_root=0.0)).params

    assert step.num_inner_steps == num_inner_steps
    assert step.outer_loss == pytest.approx(float(meta.outer_loss))
    assert step.meta_gradient_norm == pytest.approx(float(norm))
    assert step.entropy == pytest.approx(float(start.entropy().mean()))
    torch.testing.assert_close(current(loop, "current"), after)
    torch.testing.assert_close(current(loop, "average"), 0.9 * before + 0.1 * after)


def test_inner_lengths_cover_their_range() -> None:
    setting, teachers = prepare(tiny_spec(outer={"num_steps": 30, "validate_every": 100}))
    loop = OuterLoop(setting, teachers)
    lengths = {loop.advance().num_inner_steps for _ in range(29)}
    assert lengths == {3, 4, 5, 6}


def test_validation_keeps_the_best_average() -> None:
    setting, teachers = prepare(tiny_spec(outer={"num_steps": 12, "validate_every": 1, "lr": 0.4}))
    loop = OuterLoop(setting, teachers)
    best_value, best_average = -1.0, torch.empty(0)
    while not loop.finished:
        step = loop.advance()
        assert step.validation is not None
        assert step.best == (step.validation > best_value)
        if step.best:
            best_value, best_average = step.validation, current(loop, "average")
    latents = loop.best.synthetic.tensors()["latents"]
    assert torch.equal(latents.flatten(), best_average[: latents.numel()])


def test_patience_stops_the_loop() -> None:
    # A learning rate of next to nothing leaves every validation without an improvement over the start.
    setting, teachers = prepare(tiny_spec(outer={"num_steps": 50, "validate_every": 1, "lr": 1e-12, "patience": 3}))
    loop = OuterLoop(setting, teachers)
    run(loop)
    assert loop.step == 3
    assert (loop.course.ended_by, loop.course.steps, loop.course.planned_steps, loop.course.best_step) == ("patience", 3, 50, 0)
    assert loop.course.best_validation == loop.course.start_validation
    told = describe_ending(loop.course)
    assert "stopped after 3 of 50 steps: patience ran out" in told
    assert "the result is the start itself" in told


def test_the_course_says_which_step_is_kept_and_that_all_were_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = iter([0.1, 0.2, 0.4, 0.3, 0.3])
    monkeypatch.setattr(descent, "measure_fresh_student", lambda *_: next(measured))
    setting, teachers = prepare(tiny_spec(outer={"num_steps": 8, "validate_every": 2, "patience": 3}))
    loop = OuterLoop(setting, teachers)
    assert loop.course == Course(0, 8, 0, None, None, None)
    assert loop.validate_start() == loop.validate_start() == 0.1
    run(loop)
    assert loop.course == Course(8, 8, 4, 0.1, 0.4, "all_steps")
    told = describe_ending(loop.course)
    assert told == "The outer loop took all of its 8 steps. The result is what it had at step 4, which was best on validation."


def test_the_start_is_kept_where_no_step_is_better(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = iter([0.5, 0.4, 0.3])
    monkeypatch.setattr(descent, "measure_fresh_student", lambda *_: next(measured))
    setting, teachers = prepare(tiny_spec(outer={"num_steps": 2, "validate_every": 1}))
    loop, start = OuterLoop(setting, teachers), make_start(setting, teachers)
    steps = [loop.advance(), loop.advance()]
    assert [(step.validation, step.best) for step in steps] == [(0.4, False), (0.3, False)]
    assert torch.equal(loop.best.synthetic.logits(), start.logits())
    assert not torch.equal(loop.current.synthetic.logits(), start.logits())


def test_the_inner_learning_rate_is_learned_along_its_gradient() -> None:
    setting, teachers = prepare(tiny_spec(inner={"learn_lr": True}, outer={"num_steps": 6, "validate_every": 6}))
    loop = OuterLoop(setting, teachers)
    assert loop.advance().inner_lr == pytest.approx(0.02)
    # Adam's first step has the size of the learning rate; short trainings at this rate gain from a higher one.
    assert loop.advance().inner_lr == pytest.approx(0.02 * math.exp(0.05), rel=1e-4)
    assert run(loop).inner_lr > 0.0202  # the average lags behind


@pytest.mark.parametrize("kind", ["trajectories", "mixed"])
def test_start_params_come_from_trajectories(kind: str) -> None:
    setting, teachers = prepare(tiny_spec(outer={"start_params": kind, "num_steps": 6}))
    assert len(teachers[0].checkpoints) == 13  # the untrained ones and every step of 12
    loop = OuterLoop(setting, teachers)
    losses = [loop.advance().outer_loss for _ in range(3)]
    fresh = OuterLoop(*prepare(tiny_spec(outer={"num_steps": 6})))
    assert losses != [fresh.advance().outer_loss for _ in range(3)]


def test_minibatches_of_synthetic_sequences_train() -> None:
    setting, teachers = prepare(tiny_spec(inner={"batch_size": 2}))
    whole_setting, _ = prepare(tiny_spec())
    first = OuterLoop(setting, teachers).advance()
    assert first.outer_loss != OuterLoop(whole_setting, teachers).advance().outer_loss


def test_two_runs_are_bit_equal_and_another_seed_is_not() -> None:
    setting, teachers = prepare(tiny_spec())
    first, second = run(OuterLoop(setting, teachers)), run(OuterLoop(setting, teachers))
    assert torch.equal(first.synthetic.logits(), second.synthetic.logits())
    other = run(OuterLoop(*prepare(tiny_spec(seed=1))))
    assert not torch.equal(first.synthetic.logits(), other.synthetic.logits())


@pytest.mark.parametrize("stop_at", [1, 2, 3])
def test_resume_is_bit_equal(stop_at: int) -> None:
    setting, teachers = prepare(tiny_spec(inner={"learn_lr": True}))
    whole = OuterLoop(setting, teachers)
    expected = run(whole)
    stopped = OuterLoop(setting, teachers)
    for _ in range(stop_at):
        stopped.advance()
    taken_up = OuterLoop(setting, teachers)
    taken_up.restore(stopped.checkpoint())
    run(taken_up)
    assert taken_up.course == whole.course
    steps = distill(setting, teachers, resume_from=Checkpoint(*vars(stopped.checkpoint()).values()))
    numbers = []
    while True:
        try:
            numbers.append(next(steps).step)
        except StopIteration as end:
            resumed = end.value
            break
    assert numbers == list(range(stop_at + 1, 5))
    assert torch.equal(resumed.synthetic.logits(), expected.synthetic.logits())
    assert resumed.inner_lr == expected.inner_lr


def test_a_start_from_noise_needs_no_teacher_but_a_real_one_does() -> None:
    setting = prepare_setting(interactions(), tiny_spec(synthetic={"init": "random"}))
    assert OuterLoop(setting, []).advance().step == 1
    with pytest.raises(ConfigError, match="needs a teacher"):
        OuterLoop(prepare_setting(interactions(), tiny_spec()), [])


def test_what_is_not_finite_stops_the_loop() -> None:
    setting, teachers = prepare(tiny_spec())
    teachers[0].best_params["event_embedding"][0] = float("nan")
    with pytest.raises(NumericalError):
        OuterLoop(setting, teachers).advance()
