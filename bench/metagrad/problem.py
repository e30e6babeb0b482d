"""What every contestant is given: a student, its start, synthetic data and real data, as numpy arrays.

Synthetic data is distributions over the vocabulary; nothing is padded, so that every contestant computes the same sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from farzi_core.config import Architecture, StudentConfig
from farzi_core.students import Student, build_student

Array = np.ndarray[Any, np.dtype[Any]]
Precision = Literal["float32", "float64"]

LEARNING_RATE = 0.001
BETAS = (0.95, 0.975)
EPS = 1e-8
EPS_ROOT = 1e-8
SHARPNESS = 3.0  # standard deviation of the logits of the synthetic data


@dataclass(frozen=True)
class Setting:
    """A student and the sizes of its data; letters as in the glossary."""

    name: str
    title: str
    architecture: Architecture
    vocab_size: int
    num_sequences: int
    sequence_length: int
    hidden_size: int
    num_layers: int
    num_heads: int
    num_real: int

    @property
    def student(self) -> Student:
        config = StudentConfig(
            architecture=self.architecture,
            hidden_size=self.hidden_size,
            num_layers=self.num_layers,
            num_heads=self.num_heads,
            max_length=self.sequence_length,
        )
        return build_student(config, self.vocab_size)


SASREC = Setting("sasrec", "SASRec", "sasrec", 1683, 20, 50, 32, 2, 1, 32)
TRANSFORMER = Setting("transformer_lm", "Transformer LM", "transformer_lm", 1500, 24, 40, 32, 2, 2, 32)
TINY = Setting("tiny_sasrec", "tiny SASRec", "sasrec", 30, 3, 8, 8, 2, 1, 4)
TINY_TRANSFORMER = Setting("tiny_transformer_lm", "tiny Transformer LM", "transformer_lm", 30, 3, 8, 8, 2, 2, 4)
SETTINGS = {setting.name: setting for setting in (SASREC, TRANSFORMER, TINY, TINY_TRANSFORMER)}


@dataclass(frozen=True)
class Problem:
    """One meta-gradient to compute.

    Attributes:
        setting: the student, and the sizes of its data.
        start_params: by name, as the student of ``farzi_core`` calls them.
        probabilities: (S, L, V), each position sums to 1.
        real: int64 (B, L), what the outer loss predicts.
        num_inner_steps: T.
    """

    setting: Setting
    start_params: dict[str, Array]
    probabilities: Array
    real: Array
    num_inner_steps: int


def make_problem(setting: Setting, num_inner_steps: int, *, precision: Precision = "float32") -> Problem:
    """Return the problem of a setting; the same numbers in every process, rounded to the precision."""
    generator = torch.Generator().manual_seed(0)
    shape = (setting.num_sequences, setting.sequence_length, setting.vocab_size)
    logits = SHARPNESS * torch.randn(*shape, generator=generator, dtype=torch.float64)
    params = setting.student.init_params(generator, getattr(torch, precision))
    real = torch.randint(setting.vocab_size, (setting.num_real, setting.sequence_length), generator=generator)
    return Problem(
        setting=setting,
        start_params={name: value.numpy() for name, value in params.items()},
        probabilities=logits.softmax(-1).numpy().astype(precision),
        real=real.numpy(),
        num_inner_steps=num_inner_steps,
    )
