"""How sharp the soft tokens of a start are: the mean entropy it is given, and the factor of its scores that gives it.

Shape letters: N soft tokens, V vocabulary.
"""

from __future__ import annotations

import math

from torch import Tensor

from farzi_core.errors import ConfigError
from farzi_core.synthetic.base import entropy_of_logits

# Entropies that worked: 2.5 nats at V = 105 and 4 nats at V = 1,683, both this share of the largest possible, ln V.
START_ENTROPY_SHARE = 0.54
# Predictions are soft by themselves; see docs/log.md.
PREDICTION_ENTROPY_SHARE = 0.62
_PROBE_TOKENS = 512
_BISECTIONS = 60
_SMALLEST_FACTOR, _LARGEST_FACTOR = 1e-3, 1e3


def largest_entropy(vocab_size: int) -> float:
    """Return the entropy of the uniform distribution, ln V, in nats."""
    return math.log(vocab_size)


def start_entropy(vocab_size: int) -> float:
    """Return the mean entropy in nats that a start from real data is given: 2.5 at V = 105, 4.0 at V = 1,683."""
    return START_ENTROPY_SHARE * largest_entropy(vocab_size)


def prediction_entropy(vocab_size: int) -> float:
    """Return the mean entropy in nats that a start from a teacher's predictions is given: 4.6 at V = 1,683."""
    return PREDICTION_ENTROPY_SHARE * largest_entropy(vocab_size)


def choose_probe(num_tokens: int) -> slice:
    """Return which of N soft tokens the sharpness is solved on: about 512, evenly spread."""
    return slice(None, None, max(1, num_tokens // _PROBE_TOKENS))


def solve_sharpness(scores: Tensor, entropy: float, *, base: Tensor | float = 0.0) -> float:
    """Return the factor c for which ``softmax(base + c scores)`` has a mean entropy in nats.

    Args:
        scores: (N, V), float; each token's entropy must fall with c, as it does where a larger c favours one event more.
        entropy: wanted, between 0 and ln V.
        base: (N, V), float, what the scores are added to. Where it is sharper than wanted by itself, c is almost 0.

    Raises:
        ConfigError: the scores do not tell events apart well enough to reach the entropy.
    """
    scores = scores.double()
    low, high = _SMALLEST_FACTOR, 1e4
    for _ in range(_BISECTIONS):
        middle = math.sqrt(low * high)
        if entropy_of_logits(base + middle * scores).mean().item() > entropy:
            low = middle
        else:
            high = middle
    if high > _LARGEST_FACTOR:
        raise ConfigError(
            "the teacher's event embeddings are almost all the same, so no start near real data can be made; "
            "raise teacher.num_steps, or set synthetic.init to 'random'",
            pointer="/teacher/num_steps",
        )
    return math.sqrt(low * high)
