"""The sides of a comparison: what students are trained on, how, and how much of it there is; names in ``comparison_plan``.

Sides of real sequences in their whole length train as teachers do, the others as students of the inner loop.

Shape letters: S synthetic sequences, L length.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from farzi_core.batch_sizes import synthetic_batch_size
from farzi_core.comparison_plan import (
    ARGMAX,
    DISTILLED,
    EQUAL_BYTES,
    FULL_DATA,
    HARD,
    HEAD_EQUAL_BYTES,
    hard_batch_size,
    list_hard_draws,
    max_training_steps,
    noisy,
    trains_as_teacher,
    without_noise,
)
from farzi_core.config import Baseline
from farzi_core.data.sequences import SequenceDataset
from farzi_core.distillation.baselines import pick_head_sequences, pick_random_sequences, pick_sequences_of_size
from farzi_core.distillation.descent import Distilled
from farzi_core.distillation.real_data import RealSequences
from farzi_core.distillation.setting import Setting
from farzi_core.distillation.teachers import real_data, real_plan
from farzi_core.evaluation.noise import Events, replace_events
from farzi_core.evaluation.training import HardData, SoftData, TrainingData, TrainingPlan
from farzi_core.footprint import BYTES_PER_EVENT
from farzi_core.seeding import derive_seed
from farzi_core.synthetic.base import Synthetic
from farzi_core.synthetic.hard import argmax_hard_sequences, draw_hard_sequences


@dataclass(frozen=True)
class SideSize:
    """How much a side holds; real and hard events count 4 bytes each, soft tokens the bytes of what makes them."""

    sequences: int
    events: int
    bytes: int


class Sides:
    """What the sides of one comparison are trained on.

    Args:
        setting: data and student.
        distilled: what is judged.
        learned: synthetic data of the learned baselines.
    """

    def __init__(self, setting: Setting, distilled: Distilled, learned: Mapping[Baseline, Distilled]) -> None:
        self._setting = setting
        self._soft: dict[str, Distilled] = {DISTILLED: distilled}
        self._soft.update((name, baseline) for name, baseline in learned.items())

    def data(self, side: str) -> TrainingData:
        """Return what students of a side are trained on."""
        setting = self._setting
        if side == FULL_DATA:
            return real_data(setting)
        if trains_as_teacher(side):
            return replace(real_data(setting), sequences=RealSequences(self._real(side)))
        if side in self._soft:
            return SoftData.of(self._soft[side].synthetic, synthetic_batch_size(setting.spec))
        events = self._hard_events(side)
        return HardData(events.to(setting.device), hard_batch_size(len(events), setting.spec))

    def base_lr(self, side: str) -> float:
        """Return the learning rate that factors multiply."""
        if trains_as_teacher(side):
            return self._setting.spec.teacher.lr
        return self._soft.get(side, self._distilled).inner_lr

    def plan(self, side: str, lr_factor: float) -> TrainingPlan:
        """Return the rule of a side's trainings."""
        setting, evaluation = self._setting, self._setting.spec.evaluation
        lr = self.base_lr(side) * lr_factor
        if trains_as_teacher(side):
            return real_plan(setting, lr)
        adam = setting.inner_adam(lr)
        max_steps = max_training_steps(side, self._setting.spec)
        return TrainingPlan(adam, max_steps, evaluation.num_validations, evaluation.patience, setting.metric)

    def size(self, side: str) -> SideSize:
        """Return how much a side holds."""
        if trains_as_teacher(side):
            return _size_of_dataset(self._real(side))
        if side in self._soft:
            return _size_of_soft(self._soft[side].synthetic)
        events = self._hard_events(side)
        num_events = int((events >= 0).sum())
        return SideSize(len(events), num_events, BYTES_PER_EVENT * num_events)

    @property
    def _distilled(self) -> Distilled:
        return self._soft[DISTILLED]

    def _real(self, side: str) -> SequenceDataset:
        train = self._setting.split.train
        if side in {EQUAL_BYTES, HEAD_EQUAL_BYTES}:
            size_bytes = self._distilled.synthetic.size_bytes
            return pick_sequences_of_size(self._setting, size_bytes, longest=side == HEAD_EQUAL_BYTES)
        return replace(train, events=self._disturb(train.events, side))

    def _disturb(self, events: NDArray[Events], side: str) -> NDArray[Events]:
        """Return events with the noise that the side's name asks for."""
        spec = self._setting.spec
        for level in spec.evaluation.noise_levels:
            if side in {noisy(FULL_DATA, level), noisy(HARD, level)}:
                rng = np.random.default_rng(derive_seed(spec.seed, "noise", side))
                return replace_events(events, level, self._setting.vocab_size, rng)
        return events

    def _hard_events(self, side: str) -> Tensor:
        setting, spec = self._setting, self._setting.spec
        size = spec.synthetic
        draws = list_hard_draws(spec).get(without_noise(side))
        if draws is None:
            pick = {"random": pick_random_sequences, "head": pick_head_sequences}[side]
            return pick(setting, size.num_sequences, size.length)
        synthetic = self._distilled.synthetic
        if draws == ARGMAX:
            events = argmax_hard_sequences(synthetic.probabilities())
        else:
            events = draw_hard_sequences(synthetic, int(draws), derive_seed(spec.seed, "hard_sequences"))
        return torch.from_numpy(self._disturb(events.numpy(), side))


def _size_of_dataset(dataset: SequenceDataset) -> SideSize:
    return SideSize(dataset.num_sequences, dataset.num_events, BYTES_PER_EVENT * dataset.num_events)


def _size_of_soft(synthetic: Synthetic) -> SideSize:
    return SideSize(synthetic.num_sequences, synthetic.num_sequences * synthetic.sequence_length, synthetic.size_bytes)
