"""A small setting with teachers, shared by the tests of baselines."""

from __future__ import annotations

from typing import Any

import torch

from farzi_core.distillation.baselines import LearnedBaseline
from farzi_core.distillation.baselines.learned import set_for_baselines
from farzi_core.distillation.baselines.series import OBJECTIVES
from farzi_core.distillation.outer_point import OuterPoint
from farzi_core.distillation.setting import Setting, prepare_setting
from farzi_core.distillation.start import make_start
from farzi_core.distillation.teachers import TeacherTrajectory, train_teacher
from tests.farzi_core.markov import interactions, text, tiny_spec

ALL_LEARNED = list(OBJECTIVES)


def prepare(task: str = "sequential_recommendation", **overrides: Any) -> tuple[Setting, list[TeacherTrajectory]]:
    """Return a setting whose spec names every learned baseline, and one teacher."""
    evaluation = {"baselines": ALL_LEARNED, "num_seeds": 1, **overrides.pop("evaluation", {})}
    if task == "language_modeling":
        overrides["student"] = {"architecture": "transformer_lm", "num_heads": 2}
        setting = prepare_setting(text(), tiny_spec("language_modeling", evaluation=evaluation, **overrides))
    else:
        setting = prepare_setting(interactions(), tiny_spec(evaluation=evaluation, **overrides))
    steps = train_teacher(setting)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return setting, [end.value]


def make_baseline(name: Any, setting: Setting, teachers: list[TeacherTrajectory]) -> LearnedBaseline:
    own = set_for_baselines(setting)
    return LearnedBaseline(own, teachers, OBJECTIVES[name](own, teachers))


def start_probabilities(setting: Setting, teachers: list[TeacherTrajectory]) -> torch.Tensor:
    return make_start(setting, teachers).probabilities()


def point(probabilities: torch.Tensor, step: int = 0, inner_lr: float = 0.02) -> OuterPoint:
    return OuterPoint(probabilities, None, inner_lr, step)
