from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from farzi_core.config import Architecture, StudentConfig
from farzi_core.data.splits import HeldOut, HeldOutStream, split_dataset
from farzi_core.evaluation.held_out import prepare_cases, share_of_repeats
from farzi_core.evaluation.metrics import RankingScores, TextScores, summarise
from farzi_core.seeding import derive_generator
from farzi_core.students import Params, Student, build_student
from tests.farzi_core.markov import interactions, make_dataset, text


def make_student(architecture: Architecture = "sasrec") -> tuple[Student, Params]:
    config = StudentConfig(architecture=architecture, hidden_size=8, num_layers=1, max_length=6)
    student = build_student(config, 12)
    params = student.init_params(derive_generator(0, "student"), torch.float64)
    return student, {name: value * (20.0 if value.dim() == 2 else 1.0) for name, value in params.items()}


def next_scores(student: Student, params: Params, history: list[int]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Scores after one unpadded history, as a user of the student would take them."""
    events = torch.tensor([history])
    hidden = student.encode(params, student.embed_events(params, events))[0, -1]
    return student.event_logits(params, hidden).detach().numpy()


@pytest.mark.parametrize("repeats_allowed", [True, False])
def test_ranking_matches_one_user_at_a_time(repeats_allowed: bool) -> None:
    held_out = split_dataset(interactions()).test
    assert isinstance(held_out, HeldOut)
    student, params = make_student()
    cases = prepare_cases(held_out, max_length=6, ks=(10,), repeats_allowed=repeats_allowed)
    scores = cases.measure(student, params)
    assert isinstance(scores, RankingScores)
    for user in range(cases.num_cases):
        history, target = held_out.histories.sequence(user).tolist(), int(held_out.targets[user])
        values = next_scores(student, params, history[-6:])
        rivals = set(range(12)) - {target} - (set() if repeats_allowed else set(history))
        assert scores.num_rivals[user] == len(rivals)
        assert scores.ranks[user] == sum(values[event] >= values[target] - 1e-12 for event in rivals)


def test_many_cases_are_measured_in_batches() -> None:
    held_out = split_dataset(interactions(num_sequences=700)).test
    student, params = make_student()
    scores = prepare_cases(held_out, max_length=6, ks=(10,), repeats_allowed=False).measure(student, params)
    assert isinstance(held_out, HeldOut)
    assert isinstance(scores, RankingScores)
    last = HeldOut(held_out.histories.take(range(600, 700)), held_out.targets[600:])
    alone = prepare_cases(last, max_length=6, ks=(10,), repeats_allowed=False).measure(student, params)
    assert isinstance(alone, RankingScores)
    assert np.array_equal(scores.ranks[600:], alone.ranks)


def test_perplexity_matches_one_token_at_a_time() -> None:
    student, params = make_student("transformer_lm")
    stream = text().events[:40]
    scores = prepare_cases(HeldOutStream(stream), max_length=6, ks=(), repeats_allowed=True).measure(student, params)
    assert isinstance(scores, TextScores)
    total, correct = 0.0, 0
    for position in range(1, 40):
        # Windows of 6 targets: the context goes back to the last window's end.
        start = (position - 1) // 6 * 6
        values = next_scores(student, params, stream[start:position].tolist())
        total += math.log(np.exp(values - values[stream[position]]).sum())
        correct += int(values.argmax() == stream[position])
    metrics = summarise(scores)
    assert metrics["perplexity"] == pytest.approx(math.exp(total / 39))
    assert metrics["accuracy"] == pytest.approx(correct / 39)
    assert scores.num_tokens.sum() == 39


def test_share_of_repeats_by_hand() -> None:
    held_out = split_dataset(make_dataset([[0, 1, 0, 1], [0, 1, 2, 3], [2, 2, 2, 2], [3, 1, 0]], 4)).test
    assert isinstance(held_out, HeldOut)
    assert share_of_repeats(held_out) == pytest.approx(2 / 4)


def test_a_subset_is_seeded() -> None:
    held_out = split_dataset(interactions()).test
    student, params = make_student()

    def ranks(seed: int) -> list[int]:
        cases = prepare_cases(
            held_out, max_length=6, ks=(10,), repeats_allowed=True, max_cases=9, rng=np.random.default_rng(seed)
        )
        scores = cases.measure(student, params)
        assert isinstance(scores, RankingScores)
        return [int(rank) for rank in scores.ranks]

    assert len(ranks(0)) == 9
    assert ranks(0) == ranks(0)
    assert ranks(0) != ranks(1)
