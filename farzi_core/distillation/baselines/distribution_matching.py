"""Distribution matching: synthetic data that untrained students see as they see real data.

Zhao and Bilen match the mean feature of each class under fresh random networks. Here a position's feature is the hidden state
h after its event (H numbers) and its class the next event y, which soft tokens give as a distribution p. The means of all
classes, each times the class's frequency, are one matrix,

    M = mean over positions of  p h^T   (V, H),       loss = || M_synthetic - M_real ||^2

Students are drawn as the outer loop draws start parameters: fresh, or from teachers. Source: Zhao and Bilen 2023, arXiv
2110.04181. Cost of an outer step: one inner gradient and one pass over real data; no second derivatives, no training.

Shape letters: S synthetic sequences, B real ones, L length, V vocabulary, H hidden.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from farzi_core.distillation.baselines.learned import ObjectiveValue
from farzi_core.distillation.draws import draw_real_batch, draw_start_params
from farzi_core.distillation.outer_point import OuterPoint
from farzi_core.distillation.setting import Setting
from farzi_core.distillation.teachers import TeacherTrajectory
from farzi_core.students import Params, Student


class DistributionMatching:
    """The squared distance of the mean features of all classes."""

    pool = None
    has_lr_gradient = False

    def __init__(self, setting: Setting, teachers: Sequence[TeacherTrajectory]) -> None:
        self._setting, self._teachers = setting, teachers

    def evaluate(self, point: OuterPoint) -> ObjectiveValue:
        student = self._setting.student
        params = draw_start_params(self._setting, self._teachers, point.step)
        soft = point.probabilities.detach().requires_grad_()
        with torch.no_grad():
            target = mean_real_features(student, params, draw_real_batch(self._setting, point.step))
        loss = (mean_soft_features(student, params, soft, point.input_events) - target).square().sum()
        (adj_probabilities,) = torch.autograd.grad(loss, soft)
        return ObjectiveValue(float(loss.detach()), adj_probabilities)


def mean_soft_features(student: Student, params: Params, probabilities: Tensor, input_events: Tensor | None = None) -> Tensor:
    """Return M (V, H) of soft tokens (S, L, V), behind themselves or behind input events (S, L)."""
    if input_events is None:
        embedded = student.embed_probabilities(params, probabilities[:, :-1])
    else:
        embedded = student.embed_events(params, input_events[:, :-1])
    hidden = student.encode(params, embedded).flatten(0, 1)
    return probabilities[:, 1:].flatten(0, 1).T @ hidden / len(hidden)


def mean_real_features(student: Student, params: Params, events: Tensor) -> Tensor:
    """Return M (V, H) of real sequences: int64 (B, L), padded on the left with negative ids."""
    inputs, targets = events[:, :-1], events[:, 1:]
    mask = inputs >= 0
    predicted = mask & (targets >= 0)
    hidden = student.encode(params, student.embed_events(params, inputs), mask)[predicted]
    sums = hidden.new_zeros(student.vocab_size, hidden.shape[-1]).index_add_(0, targets[predicted], hidden)
    return sums / len(hidden)
