from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from farzi_core.distillation.checkpoint import Checkpoint
from farzi_core.errors import NumericalError
from farzi_core.evaluation.metrics import (
    RankingScores,
    Scores,
    TextScores,
    bootstrap_ratio,
    count_at_or_above,
    load_scores,
    summarise,
)


def rank(scores: list[float], target: int, excluded: list[int] | None = None) -> int:
    pairs = (torch.zeros(len(excluded or []), dtype=torch.int64), torch.tensor(excluded or [], dtype=torch.int64))
    return int(count_at_or_above(torch.tensor([scores]), torch.tensor([target]), pairs if excluded else None))


def ranked(ranks: list[int] | NDArray[np.int64], ks: tuple[int, ...], num_rivals: int = 100) -> RankingScores:
    array = np.array(ranks, dtype=np.int64)
    return RankingScores(array, np.full(len(array), num_rivals), ks)


def test_ranks_by_hand() -> None:
    assert rank([0.1, 0.9, 0.5, 0.3], 1) == 0
    assert rank([0.1, 0.9, 0.5, 0.3], 3) == 2
    assert rank([0.1, 0.9, 0.5, 0.3], 3, excluded=[1]) == 1
    assert rank([0.1, 0.9, 0.5, 0.3], 3, excluded=[1, 2, 1]) == 0


def test_ties_count_against_the_model() -> None:
    assert rank([1.0, 1.0, 1.0, 1.0], 2) == 3
    assert rank([0.0, 2.0, 2.0, 1.0], 1) == 1


def test_the_target_stays_a_candidate_when_it_is_excluded() -> None:
    assert rank([0.1, 0.9, 0.5], 1, excluded=[1]) == 0
    assert rank([0.1, 0.9, 0.5], 0, excluded=[0]) == 2


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_scores_that_are_not_finite_are_no_good_rank(bad: float) -> None:
    with pytest.raises(NumericalError):
        rank([bad, bad, bad], 1)


def test_ranks_match_a_brute_force_sort() -> None:
    rng = np.random.default_rng(0)
    scores = np.round(rng.normal(size=(50, 20)), 1)  # rounded: many ties
    targets = rng.integers(20, size=50)
    histories = [rng.choice(20, size=6, replace=False) for _ in range(50)]
    rows, columns = np.repeat(np.arange(50), 6), np.concatenate(histories)
    found = count_at_or_above(
        torch.from_numpy(scores), torch.from_numpy(targets), (torch.from_numpy(rows), torch.from_numpy(columns))
    )
    for i in range(50):
        candidates = [event for event in range(20) if event not in histories[i] or event == targets[i]]
        # Worst place of the target in any ordering by falling score.
        ordered = sorted(candidates, key=lambda event: (-scores[i, event], event == targets[i]))
        assert int(found[i]) == ordered.index(targets[i])


def test_ranking_metrics_by_hand() -> None:
    metrics = summarise(ranked([0, 2, 9, 10], (1, 10), 20))
    assert metrics["hr@1"] == pytest.approx(1 / 4)
    assert metrics["hr@10"] == pytest.approx(3 / 4)
    assert metrics["ndcg@1"] == pytest.approx(1 / 4)
    assert metrics["ndcg@10"] == pytest.approx((1 + 1 / 2 + 1 / math.log2(11)) / 4)
    assert metrics["mrr"] == pytest.approx((1 + 1 / 3 + 1 / 10 + 1 / 11) / 4)
    assert metrics["auc"] == pytest.approx((20 + 18 + 11 + 10) / 80)


def test_a_target_without_rivals_is_ranked_right() -> None:
    assert summarise(ranked([0], (5,), 0))["auc"] == 1.0


def test_text_metrics_by_hand() -> None:
    scores = TextScores(np.array([2.0, 4.0]), np.array([1, 0]), np.array([2, 1]))
    assert summarise(scores) == {"perplexity": pytest.approx(math.exp(2.0)), "accuracy": pytest.approx(1 / 3)}
    resampled = scores.resampled(np.array([[2.0, 0.0], [0.0, 2.0]]))
    assert resampled["perplexity"] == pytest.approx([math.exp(1.0), math.exp(4.0)])


@pytest.mark.parametrize(
    "scores",
    [ranked([3, 0, 7], (5, 10)), TextScores(np.array([0.1, 2.5]), np.array([1, 2]), np.array([4, 4]))],
)
def test_scores_survive_a_checkpoint(tmp_path: Path, scores: Scores) -> None:
    scores.checkpoint().save(tmp_path)
    assert summarise(load_scores(Checkpoint.load(tmp_path))) == summarise(scores)


def test_the_interval_covers_a_known_ratio() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(40):
        ours = [ranked(np.where(rng.random(300) < 0.4, 0, 50), (10,)) for _ in range(3)]
        full = [ranked(np.where(rng.random(300) < 0.5, 0, 50), (10,)) for _ in range(3)]
        interval = bootstrap_ratio(ours, full, rng=np.random.default_rng(trial), num_resamples=200)["hr@10"]
        assert interval.low < interval.mean < interval.high
        covered += interval.low <= 0.8 <= interval.high
    assert covered >= 34  # 95 % of 40, less three standard deviations


def test_a_ratio_to_itself_varies_with_seeds_only() -> None:
    scores = ranked(np.arange(100), (10,))
    interval = bootstrap_ratio([scores], [scores], rng=np.random.default_rng(0))["mrr"]
    assert (interval.low, interval.mean, interval.high) == (1.0, 1.0, 1.0)


def test_a_reference_of_zero_has_no_ratio() -> None:
    ratios = bootstrap_ratio([ranked([0, 3], (1,))], [ranked([5, 3], (1,))], rng=np.random.default_rng(0))
    assert set(ratios) == {"mrr", "auc"}


def test_the_interval_grows_with_the_spread_of_cases_and_of_seeds() -> None:
    """One seed: cases alone make the interval; the same values for every case: seeds alone do."""

    def width(ours: list[RankingScores]) -> float:
        full = [ranked([0] * len(ours[0].ranks), (10,))]
        interval = bootstrap_ratio(ours, full, rng=np.random.default_rng(0), num_resamples=500)["hr@10"]
        return interval.high - interval.low

    mixed = np.where(np.arange(400) % 2 == 0, 0, 50)
    assert width([ranked(mixed, (10,))]) == pytest.approx(2 * 1.96 * 0.5 / np.sqrt(400), rel=0.15)
    good, bad = ranked([0] * 400, (10,)), ranked([50] * 400, (10,))
    assert width([good, good]) == 0.0
    assert width([good, bad]) == 1.0
