"""Small students of every kind, in float64."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from farzi_core.config import StudentConfig
from farzi_core.students import Params, Student, build_student

VOCAB_SIZE = 7
CONFIGS = {
    "sasrec": StudentConfig(architecture="sasrec", hidden_size=4, num_layers=2, num_heads=1, max_length=9, dropout=0.5),
    "sasrec-heads": StudentConfig(architecture="sasrec", hidden_size=6, num_layers=1, num_heads=3, max_length=9),
    "gru4rec": StudentConfig(architecture="gru4rec", hidden_size=4, num_layers=2, max_length=9, dropout=0.5),
    "fmlp": StudentConfig(architecture="fmlp", hidden_size=4, num_layers=2, max_length=9, dropout=0.5),
    "narm": StudentConfig(architecture="narm", hidden_size=4, num_layers=2, max_length=9, dropout=0.5),
    "lstm": StudentConfig(architecture="lstm", hidden_size=4, num_layers=2, max_length=9, dropout=0.5),
    "lm": StudentConfig(architecture="transformer_lm", hidden_size=4, num_layers=2, num_heads=1, max_length=9, dropout=0.5),
    "lm-heads": StudentConfig(architecture="transformer_lm", hidden_size=8, num_layers=1, num_heads=2, max_length=9),
}


@dataclass
class Case:
    """A student with parameters large enough for every path to matter, and soft and hard data."""

    student: Student
    params: Params
    probabilities: Tensor
    events: Tensor


@pytest.fixture(params=list(CONFIGS))
def case(request: pytest.FixtureRequest) -> Case:
    student = build_student(CONFIGS[request.param], VOCAB_SIZE)
    generator = torch.Generator().manual_seed(0)
    params = {
        name: value + 0.4 * torch.randn(value.shape, generator=generator, dtype=torch.float64)
        for name, value in student.init_params(generator, torch.float64).items()
    }
    probabilities = torch.randn(3, 5, VOCAB_SIZE, generator=generator, dtype=torch.float64).softmax(-1)
    events = torch.tensor([[1, 2, 3, 4, 0], [-1, -1, 5, 6, 1], [-1, -1, -1, -1, 2]])
    return Case(student, params, probabilities, events)
