"""What all phases of one distillation share: the split data and the student, ready to be trained and measured.

Whatever can be wrong with a spec and its data is found here, before any long work.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from farzi_core.config import Architecture, DistillationSpec
from farzi_core.data.sequences import SequenceDataset
from farzi_core.data.splits import HeldOut, HeldOutStream, Split, split_dataset
from farzi_core.data_choices import fill_in
from farzi_core.distillation.real_data import RealSequences
from farzi_core.errors import ConfigError
from farzi_core.evaluation.held_out import REPEAT_SHARE, HeldOutCases, prepare_cases, share_of_repeats
from farzi_core.metagrad import AdamConfig
from farzi_core.seeding import derive_seed
from farzi_core.spec_problems import find_data_problems
from farzi_core.students import Student, build_student
from farzi_core.training_part import require_pairs

SELECTION_K = 10
RANKING_METRIC = f"ndcg@{SELECTION_K}"
TEXT_METRIC = "perplexity"
# Gradients of embeddings are of the size 1 / V. A root of about a third of that takes from Adam the habit of amplifying the
# smallest of them, which is what makes long windows chaotic; see docs/log.md.
EPS_ROOT_SCALE = 1.0 / 3.0


@dataclass(frozen=True)
class Setting:
    """Data and student of one distillation.

    Attributes:
        spec: the complete spec.
        split: the three parts of the data.
        student: what the inner loop trains.
        real: training sequences.
        validation: what every choice is made on; at most ``evaluation.max_validation_cases`` cases.
        metric: name of the validation metric.
        repeats_allowed: whether events of the history stay candidates.
        repeat_share: share of validation targets that are in their own history; None for text.
        dtype: of parameters and synthetic data.
        device: where everything is computed.
    """

    spec: DistillationSpec
    split: Split
    student: Student
    real: RealSequences
    validation: HeldOutCases
    metric: str
    repeats_allowed: bool
    repeat_share: float | None
    dtype: torch.dtype
    device: torch.device

    @property
    def vocab_size(self) -> int:
        return self.split.train.vocab_size

    def test_cases(self) -> HeldOutCases:
        """Return all test cases, with the metric that choices are made by whatever cut-offs the spec asks for."""
        return prepare_cases(
            self.split.test,
            max_length=self.spec.student.max_length,
            ks=tuple(sorted({*self.spec.evaluation.ks, SELECTION_K})),
            repeats_allowed=self.repeats_allowed,
            device=self.device,
        )

    def build_student(self, architecture: Architecture) -> Student:
        """Return a student of the spec's sizes with another architecture."""
        return build_student(self.spec.student.model_copy(update={"architecture": architecture}), self.vocab_size)

    def inner_adam(self, lr: float | None = None) -> AdamConfig:
        """Return the optimiser of the inner loop, and of every student of synthetic data."""
        inner = self.spec.inner
        eps_root = (EPS_ROOT_SCALE / self.vocab_size) ** 2 if inner.eps_root is None else inner.eps_root
        return AdamConfig(inner.lr if lr is None else lr, inner.betas, inner.eps, eps_root)


def prepare_setting(
    dataset: SequenceDataset, spec: DistillationSpec, device: torch.device | None = None, *, distilled: bool = False
) -> Setting:
    """Split ``dataset`` and build what ``spec`` asks for.

    Args:
        dataset: a validated data set.
        spec: the complete spec; what it leaves to the data is filled in.
        device: None takes the GPU when there is one.
        distilled: whether the synthetic data are there already; their size is no longer a question then.

    Raises:
        ConfigError: the spec asks for more than the data have.
        DataError: the data cannot be split, or leave nothing to learn from.
    """
    data = dataset.summary()
    require_pairs(data)
    spec = fill_in(spec, data)
    problems = find_data_problems(spec, data, distilled=distilled)
    if problems:
        raise ConfigError("; ".join(problem.detail for problem in problems), pointer=problems[0].pointer)
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    split = split_dataset(dataset)
    repeat_share = share_of_repeats(split.validation) if isinstance(split.validation, HeldOut) else None
    repeats_allowed = _decide_repeats(spec, repeat_share)
    validation = prepare_cases(
        split.validation,
        max_length=spec.student.max_length,
        ks=(SELECTION_K,),
        repeats_allowed=repeats_allowed,
        max_cases=spec.evaluation.max_validation_cases,
        rng=np.random.default_rng(derive_seed(spec.seed, "validation_cases")),
        device=device,
    )
    return Setting(
        spec=spec,
        split=split,
        student=build_student(spec.student, dataset.vocab_size),
        real=RealSequences(split.train),
        validation=validation,
        metric=TEXT_METRIC if isinstance(split.validation, HeldOutStream) else RANKING_METRIC,
        repeats_allowed=repeats_allowed,
        repeat_share=repeat_share,
        dtype=torch.float64 if spec.precision == "float64" else torch.float32,
        device=device,
    )


def _decide_repeats(spec: DistillationSpec, repeat_share: float | None) -> bool:
    wanted = spec.evaluation.repeats_allowed
    if wanted is not None or repeat_share is None:
        return True if wanted is None else wanted
    return repeat_share > REPEAT_SHARE
