"""What a distilled summary has to beat: real sequences, and synthetic data that other methods learn."""

from farzi_core.distillation.baselines.coresets import pick_head_sequences, pick_random_sequences, pick_sequences_of_size
from farzi_core.distillation.baselines.learned import BaselineStep, LearnedBaseline, Objective, ObjectiveValue
from farzi_core.distillation.baselines.series import LearnedBaselines

__all__ = [
    "BaselineStep",
    "LearnedBaseline",
    "LearnedBaselines",
    "Objective",
    "ObjectiveValue",
    "pick_head_sequences",
    "pick_random_sequences",
    "pick_sequences_of_size",
]
