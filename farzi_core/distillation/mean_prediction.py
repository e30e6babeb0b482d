"""What several teachers expect together, and sequences that they make up by it.

Shape letters: S sequences, L length, V vocabulary, H hidden, K teachers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from farzi_core.distillation.coverage import Coverage
from farzi_core.distillation.setting import Setting
from farzi_core.students import Params

_LEAST_PROBABILITY = 1e-12


class MeanPrediction:
    """The arithmetic mean of several teachers' predictions; nothing of it is differentiated.

    Args:
        setting: data and student.
        teachers: trained parameters, at least one.

    Attributes:
        first_event: (V,), how often each event occurs in the training data, each counted once more.
        tables: the teachers' event embeddings side by side, (V, K H).
        num_teachers: K.
    """

    def __init__(self, setting: Setting, teachers: Sequence[Params]) -> None:
        self._student, self._teachers = setting.student, teachers
        events = torch.from_numpy(setting.split.train.events).to(setting.device, torch.int64)
        counts = torch.bincount(events, minlength=setting.vocab_size).to(setting.dtype) + 1.0
        self.first_event = counts / counts.sum()
        self.tables = torch.cat([setting.student.event_table(teacher) for teacher in teachers], -1).detach()
        self.num_teachers = len(teachers)

    @torch.no_grad()
    def encode(self, events: Tensor) -> Tensor:
        """Return the teachers' hidden states after each event, side by side: int64 (S, L) -> (S, L, K H)."""
        student = self._student
        return torch.cat([student.encode(teacher, student.embed_events(teacher, events)) for teacher in self._teachers], -1)

    @torch.no_grad()
    def probabilities(self, hidden: Tensor) -> Tensor:
        """Return the mean prediction at hidden states that :meth:`encode` returned: (..., K H) -> (..., V)."""
        mean = hidden.new_zeros(())
        for teacher, part in zip(self._teachers, hidden.chunk(self.num_teachers, -1), strict=True):
            mean = mean + self._student.event_logits(teacher, part).softmax(-1) / self.num_teachers
        return mean


def sample_sequences(
    mean: MeanPrediction,
    num_sequences: int,
    length: int,
    *,
    repeats_allowed: bool,
    generator: torch.Generator,
    sharpness: float = 1.0,
    token_logits: Tensor | None = None,
    coverage: Coverage | None = None,
) -> Tensor:
    """Return sequences that teachers make up, event by event:  event ~ mean prediction^sharpness x exp(token_logits).

    Args:
        mean: of their predictions.
        num_sequences: S.
        length: L, at most what the teachers read.
        repeats_allowed: whether an event may come twice in a sequence; with fewer events than positions it may anyway.
        generator: CPU generator; the events do not depend on the device, but for rounding.
        sharpness: exponent of the prediction, at least 0; above 1 draws nearer to the likeliest events.
        token_logits: (S, L, V), what else favours an event at a position, and all that does at the first one; None: nothing,
            and the first event is drawn by how often events occur.
        coverage: favours events that are behind, and counts those that are drawn here; None: neither.

    Returns:
        int64 (S, L) on the teachers' device.

    Cost: L passes over ever longer sequences.
    """
    all_differ = not repeats_allowed and len(mean.first_event) >= length
    events = torch.empty(num_sequences, 0, dtype=torch.int64, device=mean.first_event.device)
    while events.shape[1] < length:
        if events.shape[1] > 0:
            expected = mean.probabilities(mean.encode(events)[:, -1]).clamp(min=_LEAST_PROBABILITY)
            logits = sharpness * expected.log()
            if token_logits is not None:
                logits = logits + token_logits[:, events.shape[1]]
        else:
            logits = mean.first_event.log().expand(num_sequences, -1) if token_logits is None else token_logits[:, 0]
        if coverage is not None:
            logits = logits + coverage.logits()
        if all_differ:
            logits = logits.scatter(1, events, -torch.inf)
        drawn = _draw(logits, generator)
        if coverage is not None:
            coverage.count(drawn)
        events = torch.cat([events, drawn], 1)
    return events


def _draw(logits: Tensor, generator: torch.Generator) -> Tensor:
    """Return one event a row, int64 (S, 1)."""
    return torch.multinomial(logits.softmax(-1).cpu(), 1, generator=generator).to(logits.device)
