"""The losses of the race in PyTorch, as functions of named tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.metagrad.problem import Problem
from farzi_core.students import Params, Student, next_event_loss, soft_next_event_loss

SoftLoss = Callable[[Student, Params, Tensor], Tensor]


def plain_soft_loss(student: Student, params: Params, probabilities: Tensor) -> Tensor:
    """Return :func:`farzi_core.students.soft_next_event_loss` from PyTorch's own operations."""
    embedded = student.embed_probabilities(params, probabilities)
    hidden = student.encode(params, embedded[:, :-1])
    normalizers = student.event_logits(params, hidden).logsumexp(-1)
    return (normalizers - (hidden * embedded[:, 1:]).sum(-1)).mean()


@dataclass(frozen=True)
class TorchProblem:
    """A :class:`Problem` as tensors and functions."""

    start_params: Params
    synthetic: dict[str, Tensor]
    inner_loss: Callable[[Params, dict[str, Tensor], int], Tensor]
    outer_loss: Callable[[Params], Tensor]


def torch_problem(problem: Problem, soft_loss: SoftLoss) -> TorchProblem:
    torch.set_num_threads(1)
    student, real = problem.setting.student, torch.from_numpy(problem.real)

    def inner_loss(params: Params, synthetic: dict[str, Tensor], _step: int) -> Tensor:
        return soft_loss(student, params, synthetic["probabilities"])

    return TorchProblem(
        start_params={name: torch.from_numpy(value) for name, value in problem.start_params.items()},
        synthetic={"probabilities": torch.from_numpy(problem.probabilities)},
        inner_loss=inner_loss,
        outer_loss=lambda params: next_event_loss(student, params, real),
    )


SOFT_LOSSES: dict[str, SoftLoss] = {"plain": plain_soft_loss, "farzi": soft_next_event_loss}
