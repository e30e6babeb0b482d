from __future__ import annotations

import pytest
import torch

from farzi_core.config import StudentConfig
from farzi_core.errors import NumericalError
from farzi_core.evaluation.held_out import HeldOutCases
from farzi_core.evaluation.metrics import Scores, TextScores
from farzi_core.evaluation.training import HardData, SoftData, StudentTraining, TrainingData, TrainingPlan, draw_rows
from farzi_core.metagrad import AdamConfig
from farzi_core.seeding import derive_generator
from farzi_core.students import Params, Student, build_student, next_event_loss

EVENTS = torch.tensor([[0, 1, 2, 3, 0], [3, 2, 1, 0, 3], [-1, -1, 1, 1, 1]])
STUDENT = build_student(StudentConfig(hidden_size=8, num_layers=1, max_length=5), 4)
WITH_DROPOUT = build_student(StudentConfig(hidden_size=8, num_layers=1, max_length=5, dropout=0.5), 4)


class OwnLoss(HeldOutCases):
    """Cases whose perplexity is that of the training data, so that what a training does can be seen."""

    @property
    def num_cases(self) -> int:
        return 1

    def measure(self, student: Student, params: Params) -> Scores:
        loss = next_event_loss(student, params, EVENTS)
        return TextScores(loss.detach().reshape(1).double().numpy(), EVENTS[:1, 0].numpy(), EVENTS[:1, 1].numpy())


class Worsening(OwnLoss):
    """Cases on which every look is worse than the one before."""

    def __init__(self) -> None:
        self.looks = 0

    def measure(self, student: Student, params: Params) -> Scores:
        self.looks += 1
        return TextScores(torch.tensor([float(self.looks)]).double().numpy(), EVENTS[:1, 0].numpy(), EVENTS[:1, 1].numpy())


def train(
    cases: HeldOutCases,
    *,
    patience: int | None = None,
    max_steps: int = 20,
    batch_size: int = 2,
    dtype: torch.dtype = torch.float32,
) -> StudentTraining:
    plan = TrainingPlan(AdamConfig(0.02, eps_root=0.0), max_steps, 10, patience, "perplexity")
    return StudentTraining(STUDENT, HardData(EVENTS, batch_size), cases, plan, seed=3, purpose=("test",), dtype=dtype)


def run(training: StudentTraining) -> StudentTraining:
    while not training.finished:
        training.advance()
    return training


def test_steps_are_those_of_torch_adam() -> None:
    training = train(OwnLoss(), batch_size=3, dtype=torch.float64)
    params = {name: value.requires_grad_() for name, value in training.params.items()}
    optimizer = torch.optim.Adam(params.values(), lr=0.02, betas=(0.9, 0.999), eps=1e-8)
    for _ in range(5):
        loss = training.advance().loss
        optimizer.zero_grad()
        expected = next_event_loss(STUDENT, params, EVENTS)
        expected.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        assert loss == pytest.approx(float(expected.detach()))
    for name, value in training.params.items():
        torch.testing.assert_close(value, params[name].detach())


def test_looks_are_even_and_the_last_step_is_one() -> None:
    training = train(OwnLoss(), max_steps=25)
    looked = [step.step for step in iter(lambda: None if training.finished else training.advance(), None) if step.validation]
    assert looked == [2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 25]


def test_looks_are_kept_with_their_seconds_and_survive_a_checkpoint() -> None:
    training = run(train(OwnLoss()))
    assert [look.step for look in training.looks] == list(range(2, 21, 2))
    seconds = [look.train_s for look in training.looks]
    assert seconds == sorted(seconds)
    assert seconds[-1] == training.train_s
    best = min(training.looks, key=lambda look: look.value)
    assert (best.step, best.value, best.train_s) == (training.best_step, training.best_value, training.train_s_to_best)
    resumed = train(OwnLoss())
    resumed.restore(training.checkpoint())
    assert resumed.looks == training.looks


def test_patience_stops_and_the_best_look_is_kept() -> None:
    training = train(Worsening(), patience=3)
    first = None
    while not training.finished:
        if training.advance().step == 2:
            first = training.params
    assert training.step == 8
    assert training.best_step == 2
    assert first is not None
    assert all(torch.equal(first[name], value) for name, value in training.best_params.items())
    assert 0.0 < training.train_s_to_best < training.train_s


def test_resume_is_bit_equal() -> None:
    whole, stopped, resumed = train(OwnLoss()), train(OwnLoss()), train(OwnLoss())
    run(whole)
    for _ in range(7):
        stopped.advance()
    resumed.restore(stopped.checkpoint())
    run(resumed)
    assert resumed.best_value == whole.best_value
    assert all(torch.equal(whole.params[name], value) for name, value in resumed.params.items())


def test_soft_data_of_certain_tokens_is_hard_data() -> None:
    params = STUDENT.init_params(derive_generator(0, "student"), torch.float64)
    certain = torch.nn.functional.one_hot(EVENTS[:2], 4).double()
    soft = SoftData(certain, None, 2).loss(STUDENT, params, derive_generator(0))
    hard = HardData(EVENTS[:2], 2).loss(STUDENT, params, derive_generator(0))
    torch.testing.assert_close(soft, hard)


@pytest.mark.parametrize("data", [SoftData(torch.full((2, 6, 4), 0.25, dtype=torch.float64), None, 2), HardData(EVENTS[:2], 2)])
def test_students_of_a_summary_have_dropout(data: TrainingData) -> None:
    params = WITH_DROPOUT.init_params(derive_generator(0, "student"), torch.float64)
    losses = [float(data.loss(WITH_DROPOUT, params, derive_generator(0, seed))) for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]
    assert losses[0] != float(data.loss(STUDENT, params, derive_generator(0, 0)))


def test_rows_are_distinct_and_a_large_batch_takes_all() -> None:
    rows = torch.arange(10)
    assert len(set(draw_rows(rows, 6, derive_generator(0)).tolist())) == 6
    assert draw_rows(rows, 10, derive_generator(0)) is rows


def test_a_diverging_training_says_so() -> None:
    plan = TrainingPlan(AdamConfig(1e30), 50, 1, None, "perplexity")
    training = StudentTraining(STUDENT, HardData(EVENTS, 3), OwnLoss(), plan, seed=0, purpose=("test",))
    with pytest.raises(NumericalError, match="lower the learning rate"):
        run(training)
