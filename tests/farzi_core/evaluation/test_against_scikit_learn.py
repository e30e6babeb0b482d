"""Every metric of a report, computed once more by a library that was written for other purposes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn import metrics as independent

from farzi_core.config import Architecture
from farzi_core.data.splits import HeldOut, HeldOutStream, split_dataset
from farzi_core.evaluation.held_out import prepare_cases
from farzi_core.evaluation.metrics import RankingScores, TextScores, summarise
from farzi_core.seeding import derive_generator
from farzi_core.students import Params, Student, build_student
from tests.farzi_core.markov import interactions, text, tiny_spec

KS = (5, 10, 20, 100)
VOCAB_SIZE = 130
MAX_LENGTH = 10


def make_student(architecture: Architecture) -> tuple[Student, Params]:
    config = tiny_spec().student.model_copy(update={"architecture": architecture})
    student = build_student(config, VOCAB_SIZE)
    params = student.init_params(derive_generator(3, "student"), torch.float64)
    return student, {name: value * (20.0 if value.dim() == 2 else 1.0) for name, value in params.items()}


def score_every_event(student: Student, params: Params, history: NDArray[np.int32]) -> NDArray[np.float64]:
    events = torch.from_numpy(history[-MAX_LENGTH:].astype(np.int64))[None]
    hidden = student.encode(params, student.embed_events(params, events))[0, -1]
    return student.event_logits(params, hidden).detach().numpy()


@pytest.mark.parametrize("repeats_allowed", [True, False])
def test_ranking_metrics(repeats_allowed: bool) -> None:
    held_out = split_dataset(interactions(80, VOCAB_SIZE)).test
    assert isinstance(held_out, HeldOut)
    student, params = make_student("sasrec")
    cases = prepare_cases(held_out, max_length=MAX_LENGTH, ks=KS, repeats_allowed=repeats_allowed)
    ours = cases.measure(student, params)
    assert isinstance(ours, RankingScores)
    theirs: dict[str, list[float]] = {name: [] for name in ours.per_case()}
    for user, target in enumerate(held_out.targets.tolist()):
        history = held_out.histories.sequence(user)
        scores = score_every_event(student, params, history)
        excluded = set() if repeats_allowed else set(history.tolist()) - {target}
        candidates = [event for event in range(VOCAB_SIZE) if event not in excluded]
        relevance = np.array([[event == target for event in candidates]], dtype=np.int64)
        table = scores[candidates][None]
        for k in KS:
            theirs[f"ndcg@{k}"].append(float(independent.ndcg_score(relevance, table, k=k)))
            labels = np.arange(len(candidates))
            hit = independent.top_k_accuracy_score([candidates.index(target)], table, k=k, labels=labels)
            theirs[f"hr@{k}"].append(float(hit))
        theirs["mrr"].append(float(independent.label_ranking_average_precision_score(relevance, table)))
        theirs["auc"].append(float(independent.roc_auc_score(relevance[0], table[0])))
    assert 0.05 < summarise(ours)["hr@20"] < 0.95  # neither trivially right nor trivially wrong
    for name, values in ours.per_case().items():
        np.testing.assert_allclose(values, theirs[name], rtol=1e-9, err_msg=name)
        assert summarise(ours)[name] == pytest.approx(np.mean(theirs[name]))


def test_text_metrics() -> None:
    stream = text(vocab_size=VOCAB_SIZE).events[: 6 * MAX_LENGTH + 1]
    student, params = make_student("transformer_lm")
    ours = prepare_cases(HeldOutStream(stream), max_length=MAX_LENGTH, ks=(), repeats_allowed=True).measure(student, params)
    assert isinstance(ours, TextScores)
    rows = []
    for position in range(1, len(stream)):
        start = (position - 1) // MAX_LENGTH * MAX_LENGTH
        scores = score_every_event(student, params, stream[start:position])
        rows.append(np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum())
    probabilities = np.stack(rows)
    loss = independent.log_loss(stream[1:], probabilities, labels=np.arange(VOCAB_SIZE))
    found = summarise(ours)
    assert found["perplexity"] == pytest.approx(np.exp(loss))
    assert found["accuracy"] == pytest.approx(independent.accuracy_score(stream[1:], probabilities.argmax(1)))
