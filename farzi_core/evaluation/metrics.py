"""Ranks and token losses of held-out cases, and the figures made of them.

A *case* is one held-out target (a user's last event) or one block of a held-out text. Values are kept per case, so that a
figure can be taken again over any resample of the cases. This module knows nothing of students.

Shape letters: B cases in a batch, N all cases, V vocabulary, R resamples.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from farzi_core.distillation.checkpoint import Checkpoint
from farzi_core.errors import NumericalError

FloatArray = NDArray[np.float64]

LOWER_IS_BETTER = frozenset({"perplexity"})


class Scores(Protocol):
    """Per-case values of one trained student."""

    @property
    def num_cases(self) -> int: ...

    def resampled(self, counts: FloatArray) -> dict[str, FloatArray]:
        """Return every metric for each resample: counts (R, N) says how often a case is drawn -> (R,) a metric."""
        ...

    def checkpoint(self) -> Checkpoint:
        """Return the per-case values; :func:`load_scores` reads them back."""
        ...


def is_better(value: float, other: float, metric: str) -> bool:
    """Return whether one value of a metric beats another; equal ones do not."""
    return value < other if metric in LOWER_IS_BETTER else value > other


def summarise(scores: Scores) -> dict[str, float]:
    """Return every metric over all cases."""
    once = np.ones((1, scores.num_cases))
    return {name: float(values[0]) for name, values in scores.resampled(once).items()}


def count_at_or_above(scores: Tensor, targets: Tensor, excluded: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """Return the rank of each target, 0 for the best: how many other candidates score at least as high.

    Ties count against the model, so that a student that gives every event the same score ranks every target last.

    Args:
        scores: (B, V), finite.
        targets: int64 (B,).
        excluded: rows and columns that are no candidates; a target always is one.

    Returns:
        int64 (B,).

    Raises:
        NumericalError: a score is NaN or infinite, which would compare as if it were a good rank.
    """
    if not bool(torch.isfinite(scores).all()):
        raise NumericalError(
            "a student's scores are NaN or infinite, so targets cannot be ranked; lower the learning rate", tensor="scores"
        )
    target_scores = scores.gather(1, targets.unsqueeze(1))
    rivals = scores >= target_scores
    if excluded is not None:
        rivals[excluded] = False
    rivals.scatter_(1, targets.unsqueeze(1), value=False)
    return rivals.sum(1)


@dataclass(frozen=True)
class RankingScores:
    """Ranks of the held-out targets.

    Attributes:
        ranks: int64 (N,), 0 is best.
        num_rivals: int64 (N,), candidates besides the target; a rank is at most this.
        ks: cut-offs of HR@k and NDCG@k.
    """

    ranks: NDArray[np.int64]
    num_rivals: NDArray[np.int64]
    ks: tuple[int, ...]

    @property
    def num_cases(self) -> int:
        return len(self.ranks)

    def per_case(self) -> dict[str, FloatArray]:
        """Return each metric's value for every case.

        ``HR@k = [rank < k]``, ``NDCG@k = [rank < k] / log2(rank + 2)`` (one relevant event), ``MRR = 1 / (rank + 1)``,
        ``AUC = 1 - rank / rivals``: the share of rivals below the target, 1 where there is none.
        """
        values: dict[str, FloatArray] = {}
        ranks = self.ranks.astype(np.float64)
        gains: FloatArray = 1.0 / np.log2(ranks + 2.0)
        for k in self.ks:
            hits = (ranks < k).astype(np.float64)
            values[f"hr@{k}"] = hits
            values[f"ndcg@{k}"] = hits * gains
        values["mrr"] = 1.0 / (ranks + 1.0)
        values["auc"] = 1.0 - ranks / np.maximum(self.num_rivals, 1)
        return values

    def resampled(self, counts: FloatArray) -> dict[str, FloatArray]:
        values = self.per_case()
        means = counts @ np.stack(list(values.values()), axis=1) / counts.sum(1)[:, None]  # (R, metrics)
        return {name: means[:, number] for number, name in enumerate(values)}

    def checkpoint(self) -> Checkpoint:
        tensors = {name: torch.from_numpy(getattr(self, name)) for name in ("ranks", "num_rivals")}
        return Checkpoint(tensors, {"kind": "ranking", "ks": list(self.ks)})


@dataclass(frozen=True)
class TextScores:
    """Token losses of the blocks of a held-out text.

    Attributes:
        nll: float64 (N,), summed negative log-likelihood of a block in nats.
        num_correct: int64 (N,), tokens whose probability is above every other's.
        num_tokens: int64 (N,), tokens predicted.
    """

    nll: FloatArray
    num_correct: NDArray[np.int64]
    num_tokens: NDArray[np.int64]

    @property
    def num_cases(self) -> int:
        return len(self.nll)

    def resampled(self, counts: FloatArray) -> dict[str, FloatArray]:
        """Return ``perplexity = exp(sum nll / sum tokens)`` and the next-token accuracy of each resample."""
        tokens = counts @ self.num_tokens.astype(np.float64)
        # A student far out of its depth may leave the range of exp; the figure is then only "enormous".
        mean_nll = np.minimum(counts @ self.nll / tokens, 700.0)
        return {"perplexity": np.exp(mean_nll), "accuracy": counts @ self.num_correct.astype(np.float64) / tokens}

    def checkpoint(self) -> Checkpoint:
        tensors = {name: torch.from_numpy(getattr(self, name)) for name in ("nll", "num_correct", "num_tokens")}
        return Checkpoint(tensors, {"kind": "text"})


def load_scores(checkpoint: Checkpoint) -> Scores:
    """Return the scores that :meth:`Scores.checkpoint` wrote."""
    arrays = {name: tensor.numpy() for name, tensor in checkpoint.tensors.items()}
    if checkpoint.values["kind"] == "ranking":
        return RankingScores(arrays["ranks"], arrays["num_rivals"], tuple(checkpoint.values["ks"]))
    return TextScores(arrays["nll"], arrays["num_correct"], arrays["num_tokens"])


@dataclass(frozen=True)
class Interval:
    """A ratio with its bootstrap interval."""

    mean: float
    low: float
    high: float


def bootstrap_ratio(
    ours: Iterable[Scores],
    reference: Iterable[Scores],
    *,
    rng: np.random.Generator,
    num_resamples: int = 1000,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Return, for each metric, mean(ours) / mean(reference) and its percentile interval over seeds and cases.

    Each resample draws cases with replacement (the same ones for both sides, which saw the same cases) and, on each side,
    seeds with replacement. A metric whose reference is 0 has no ratio and is left out.

    Args:
        ours: scores of each seed.
        reference: scores of each seed of what is divided by; the same cases.
        rng: source of the draws.
        num_resamples: R.
        level: share of the resamples inside the interval.

    Cost: R N counts at a time in batches; R N (seeds) metrics products.
    """
    sides = (tuple(ours), tuple(reference))
    num_cases = sides[0][0].num_cases
    draws: tuple[list[Mapping[str, FloatArray]], list[Mapping[str, FloatArray]]] = ([], [])
    for size in _batch_sizes(num_resamples, num_cases):
        counts = rng.multinomial(num_cases, np.full(num_cases, 1.0 / num_cases), size=size).astype(np.float64)
        for side, results in zip(sides, draws, strict=True):
            results.append(_mean_over_drawn_seeds(side, counts, rng))
    once = np.ones((1, num_cases))
    points = [_mean_over_seeds(side, once) for side in sides]
    intervals: dict[str, Interval] = {}
    for name, whole in points[1].items():
        if whole[0] == 0.0:
            continue
        numerator = np.concatenate([batch[name] for batch in draws[0]])
        denominator = np.concatenate([batch[name] for batch in draws[1]])
        ratios = numerator[denominator > 0] / denominator[denominator > 0]
        low, high = np.quantile(ratios, [(1 - level) / 2, (1 + level) / 2])
        intervals[name] = Interval(float(points[0][name][0] / whole[0]), float(low), float(high))
    return intervals


def _batch_sizes(total: int, num_cases: int) -> list[int]:
    size = max(1, min(total, 4_000_000 // max(1, num_cases)))
    return [min(size, total - done) for done in range(0, total, size)]


def _mean_over_seeds(side: tuple[Scores, ...], counts: FloatArray) -> dict[str, FloatArray]:
    tables = [scores.resampled(counts) for scores in side]
    return {name: np.mean([table[name] for table in tables], axis=0) for name in tables[0]}


def _mean_over_drawn_seeds(side: tuple[Scores, ...], counts: FloatArray, rng: np.random.Generator) -> dict[str, FloatArray]:
    num_seeds, num_resamples = len(side), len(counts)
    weights = rng.multinomial(num_seeds, np.full(num_seeds, 1.0 / num_seeds), size=num_resamples) / num_seeds  # (R, seeds)
    tables = [scores.resampled(counts) for scores in side]
    return {name: np.sum([weights[:, seed] * table[name] for seed, table in enumerate(tables)], axis=0) for name in tables[0]}
