"""Measuring a trained student on held-out data: full ranking of users' next events, or likelihood of a text.

Ranking covers the whole catalogue, because sampled negatives inflate every figure. Whether events of the history stay
candidates is decided once, before any student is trained. Knows nothing of how a student was trained.

Shape letters: B cases in a batch, L history length, V vocabulary.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  torch's own idiom

from farzi_core.data.batches import cut_windows, pad_sequences
from farzi_core.data.sequences import gather_slices
from farzi_core.data.splits import HeldOut, HeldOutStream
from farzi_core.evaluation.metrics import RankingScores, Scores, TextScores, count_at_or_above
from farzi_core.students import Params, Student

# Repeats are natural where more than this share of the validation targets had been met before.
REPEAT_SHARE = 0.1
_BATCH_CASES = 512
_BATCH_SCORES = 2**24


class HeldOutCases(Protocol):
    """Held-out data of one task, ready to be measured."""

    @property
    def num_cases(self) -> int: ...

    def measure(self, student: Student, params: Params) -> Scores:
        """Return the per-case values of ``student`` with ``params``; raises NumericalError when they are not finite."""
        ...


def share_of_repeats(held_out: HeldOut) -> float:
    """Return the share of targets that are in their own history."""
    repeated = held_out.histories.events == np.repeat(held_out.targets, held_out.histories.lengths)
    users = np.repeat(np.arange(len(held_out.targets)), held_out.histories.lengths)
    return float(len(np.unique(users[repeated])) / len(held_out.targets))


def prepare_cases(
    held_out: HeldOut | HeldOutStream,
    *,
    max_length: int,
    ks: tuple[int, ...],
    repeats_allowed: bool,
    max_cases: int | None = None,
    rng: np.random.Generator | None = None,
    device: torch.device | None = None,
) -> HeldOutCases:
    """Return the cases of a held-out part.

    Args:
        held_out: what the split returned.
        max_length: longest history or context a student is given.
        ks: cut-offs; ranking only.
        repeats_allowed: whether events of the history stay candidates; ranking only.
        max_cases: take a random subset of this size; None takes all.
        rng: source of the subset.
        device: where students live.
    """
    device = device or torch.device("cpu")
    if isinstance(held_out, HeldOutStream):
        windows = cut_windows(held_out.stream, max_length + 1)
        chosen = _choose(len(windows), max_cases, rng)
        return TextCases(torch.from_numpy(windows[chosen]), device)
    chosen = _choose(len(held_out.targets), max_cases, rng)
    subset = HeldOut(held_out.histories.take(chosen), held_out.targets[chosen])
    return RankingCases(subset, max_length, ks, repeats_allowed, device)


def _choose(
    num_cases: int, max_cases: int | None, rng: np.random.Generator | None
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    if max_cases is None or max_cases >= num_cases:
        return np.arange(num_cases)
    assert rng is not None, "a subset needs a source of randomness"
    return np.sort(rng.choice(num_cases, size=max_cases, replace=False))


def _count_others(held_out: HeldOut) -> NDArray[np.int64]:
    """Return how many distinct events of each history are not its target."""
    histories = held_out.histories
    cases = np.repeat(np.arange(len(held_out.targets)), histories.lengths)
    is_other = histories.events != np.repeat(held_out.targets, histories.lengths)
    pairs = np.unique(np.stack([cases[is_other], histories.events[is_other]]), axis=1)
    return np.bincount(pairs[0], minlength=len(held_out.targets))


class RankingCases:
    """Users' next events, ranked among all events."""

    def __init__(
        self, held_out: HeldOut, max_length: int, ks: tuple[int, ...], repeats_allowed: bool, device: torch.device
    ) -> None:
        self._held_out = held_out
        self._histories = torch.from_numpy(pad_sequences(held_out.histories, max_length=max_length))
        self._targets = torch.from_numpy(held_out.targets.astype(np.int64))
        self._ks = ks
        self._repeats_allowed = repeats_allowed
        self._device = device
        self._num_excluded = np.zeros(self.num_cases, np.int64) if repeats_allowed else _count_others(held_out)

    @property
    def num_cases(self) -> int:
        return len(self._targets)

    @torch.no_grad()
    def measure(self, student: Student, params: Params) -> Scores:
        size = max(1, min(_BATCH_CASES, _BATCH_SCORES // student.vocab_size))
        ranks = [self._rank(student, params, start, start + size) for start in range(0, self.num_cases, size)]
        num_rivals = student.vocab_size - 1 - self._num_excluded
        return RankingScores(torch.cat(ranks).cpu().numpy(), num_rivals, self._ks)

    def _rank(self, student: Student, params: Params, start: int, end: int) -> Tensor:
        histories = self._histories[start:end].to(self._device)
        mask = histories >= 0
        hidden = student.encode(params, student.embed_events(params, histories), mask)[:, -1]
        scores = student.event_logits(params, hidden)  # (B, V)
        excluded = None if self._repeats_allowed else self._history_entries(start, end)
        return count_at_or_above(scores, self._targets[start:end].to(self._device), excluded)

    def _history_entries(self, start: int, end: int) -> tuple[Tensor, Tensor]:
        """Return rows and columns of every event of these histories, whole and not only what the student reads."""
        dataset = self._held_out.histories
        offsets = dataset.offsets[start : end + 1] if end < self.num_cases else dataset.offsets[start:]
        columns, _ = gather_slices(dataset.events, offsets[:1], offsets[-1:])
        rows = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        return torch.from_numpy(rows).to(self._device), torch.from_numpy(columns.astype(np.int64)).to(self._device)


class TextCases:
    """Windows of a held-out text; each event but the first is predicted once, from at most a window of context."""

    def __init__(self, windows: Tensor, device: torch.device) -> None:
        self._windows = windows
        self._device = device

    @property
    def num_cases(self) -> int:
        return len(self._windows)

    @torch.no_grad()
    def measure(self, student: Student, params: Params) -> Scores:
        per_window = student.vocab_size * self._windows.shape[1]
        size = max(1, min(_BATCH_CASES, _BATCH_SCORES // per_window))
        parts = [self._score(student, params, self._windows[i : i + size]) for i in range(0, self.num_cases, size)]
        nll, correct, tokens = (torch.cat([part[i] for part in parts]).cpu() for i in range(3))
        return TextScores(nll.double().numpy(), correct.numpy(), tokens.numpy())

    def _score(self, student: Student, params: Params, windows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        windows = windows.to(self._device)
        inputs, targets = windows[:, :-1], windows[:, 1:]
        mask = inputs >= 0
        predicted = mask & (targets >= 0)
        hidden = student.encode(params, student.embed_events(params, inputs), mask)
        logits = student.event_logits(params, hidden[predicted])  # (predicted, V)
        answers = targets[predicted]
        nll = _spread(F.cross_entropy(logits, answers, reduction="none").double(), predicted)
        correct = _spread(count_at_or_above(logits, answers) == 0, predicted)
        return nll.sum(1), correct.sum(1), predicted.sum(1)


def _spread(values: Tensor, places: Tensor) -> Tensor:
    spread = torch.zeros(places.shape, dtype=values.dtype, device=values.device)
    spread[places] = values
    return spread
