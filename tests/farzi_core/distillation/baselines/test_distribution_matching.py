from __future__ import annotations

import pytest
import torch

from farzi_core.distillation.baselines.distribution_matching import (
    DistributionMatching,
    mean_real_features,
    mean_soft_features,
)
from farzi_core.distillation.draws import draw_real_batch, draw_start_params
from tests.farzi_core.distillation.baselines.prepared import point, prepare, start_probabilities


def test_soft_and_hard_features_agree_on_one_hot_tokens() -> None:
    setting, _ = prepare(precision="float64")
    params = setting.student.init_params(torch.Generator().manual_seed(0), torch.float64)
    events = torch.randint(setting.vocab_size, (4, 6), generator=torch.Generator().manual_seed(1))
    one_hot = torch.nn.functional.one_hot(events, setting.vocab_size).double()
    soft, real = mean_soft_features(setting.student, params, one_hot), mean_real_features(setting.student, params, events)
    assert soft.shape == (setting.vocab_size, 8)
    torch.testing.assert_close(soft, real)


def test_features_are_class_means_times_frequencies_and_padding_does_not_count() -> None:
    setting, _ = prepare(precision="float64")
    student = setting.student
    params = student.init_params(torch.Generator().manual_seed(0), torch.float64)
    short, long = torch.tensor([[3, 5]]), torch.tensor([[1, 5, 2, 5]])
    batch = torch.tensor([[-1, -1, 3, 5], [1, 5, 2, 5]])
    found = mean_real_features(student, params, batch)
    hidden = {"short": student.encode(params, student.embed_events(params, short[:, :-1]))[0]}
    hidden["long"] = student.encode(params, student.embed_events(params, long[:, :-1]))[0]
    expected = torch.zeros(setting.vocab_size, 8, dtype=torch.float64)
    expected[5] = hidden["short"][0] + hidden["long"][0] + hidden["long"][2]
    expected[2] = hidden["long"][1]
    torch.testing.assert_close(found, expected / 4)


def test_loss_and_gradient_are_those_of_the_squared_distance() -> None:
    setting, teachers = prepare(precision="float64")
    probabilities = start_probabilities(setting, teachers)
    value = DistributionMatching(setting, teachers).evaluate(point(probabilities, step=3))
    params = draw_start_params(setting, teachers, 3)
    soft = probabilities.clone().requires_grad_()
    difference = mean_soft_features(setting.student, params, soft) - mean_real_features(
        setting.student, params, draw_real_batch(setting, 3)
    )
    loss = (difference**2).sum()
    assert value.loss == pytest.approx(float(loss.detach()))
    torch.testing.assert_close(value.adj_probabilities, torch.autograd.grad(loss, soft)[0])


def test_students_are_drawn_anew_and_from_teachers_where_the_spec_says_so() -> None:
    setting, teachers = prepare(outer={"start_params": "trajectories"})
    drawn = draw_start_params(setting, teachers, 0)
    assert any(all(torch.equal(drawn[name], params[name]) for name in drawn) for params in teachers[0].checkpoints)
    fresh, same = prepare()
    probabilities = start_probabilities(fresh, same)
    losses = [DistributionMatching(fresh, same).evaluate(point(probabilities, step)).loss for step in range(3)]
    assert len(set(losses)) == 3
