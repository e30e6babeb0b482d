"""Windows of real training sequences, drawn at random; where the outer loss, teachers and baselines get their data.

A recommendation set is a bag of sequences; a text is one stream, whose windows may cross lines. Knows nothing of students.

Shape letters: B sequences drawn, L window length.
"""

from __future__ import annotations

import torch
from torch import Tensor

from farzi_core.data.batches import PADDING_ID
from farzi_core.data.sequences import SequenceDataset
from farzi_core.errors import DataError


class RealSequences:
    """Training sequences that windows are drawn from.

    Args:
        train: the training part of a split.

    Raises:
        DataError: no sequence has the two events that a prediction needs.
    """

    def __init__(self, train: SequenceDataset) -> None:
        events = torch.from_numpy(train.events.copy())
        if train.task == "language_modeling":
            starts, lengths = torch.zeros(1, dtype=torch.int64), torch.tensor([train.num_events])
        else:
            starts, lengths = torch.from_numpy(train.offsets[:-1].copy()), torch.from_numpy(train.lengths.copy())
        usable = lengths >= 2
        if not bool(usable.any()):
            raise DataError(
                "no training sequence has two events once validation and test events are taken away, so there is nothing to "
                "learn from; give sequences of at least 4 events",
                code="sequences_too_short",
            )
        self._events, self._starts, self._lengths = events, starts[usable], lengths[usable]
        self._is_stream = train.task == "language_modeling"

    def draw(self, batch_size: int, length: int, generator: torch.Generator) -> Tensor:
        """Draw random windows with replacement, sequences in proportion to the events a window of them holds.

        Args:
            batch_size: B.
            length: L, the longest window; a shorter sequence is taken whole.
            generator: CPU generator.

        Returns:
            int64 (B, at most L), padded on the left with ``PADDING_ID`` and no wider than its longest window.
        """
        weights = self._lengths.clamp(max=length).double().cumsum(0)
        points = torch.rand(batch_size, dtype=torch.float64, generator=generator) * weights[-1]
        chosen = torch.searchsorted(weights, points, right=True).clamp_(max=len(weights) - 1)
        return self._cut(chosen, length, generator)

    def pick(self, num_sequences: int, length: int, generator: torch.Generator) -> Tensor:
        """Pick windows of distinct sequences: those of full length first, then shorter ones, padded.

        A text gives windows at distinct places. When there are fewer sequences than asked for, they are used again.

        Returns:
            int64 (num_sequences, at most L), padded on the left.
        """
        if self._is_stream:
            return self._cut_stream(num_sequences, length, generator)
        order = torch.randperm(len(self._lengths), generator=generator)
        short = self._lengths[order] < length
        order = torch.cat([order[~short], order[short]])
        return self._cut(order[torch.arange(num_sequences) % len(order)], length, generator)

    def pick_longest(self, num_sequences: int, length: int, generator: torch.Generator) -> Tensor:
        """Pick windows of the longest sequences, equally long ones in random order; used again as :meth:`pick` does.

        Returns:
            int64 (num_sequences, at most L), padded on the left.
        """
        assert not self._is_stream, "a text is one stream"
        shuffled = torch.randperm(len(self._lengths), generator=generator)
        order = shuffled[self._lengths[shuffled].argsort(descending=True, stable=True)]
        return self._cut(order[torch.arange(num_sequences) % len(order)], length, generator)

    def pick_whole(self, num_sequences: int, length: int, generator: torch.Generator) -> Tensor:
        """Pick windows as :meth:`pick` does, but fill short ones up with other sequences, put one after the other.

        Returns:
            int64 (num_sequences, L), no padding.
        """
        picked = self.pick(num_sequences, length, generator)
        rows = [row[row != PADDING_ID] for row in picked]
        return torch.stack([self._fill_up(row, length, generator) for row in rows])

    def _fill_up(self, row: Tensor, length: int, generator: torch.Generator) -> Tensor:
        while len(row) < length:
            more = self.draw(1, length - len(row), generator)[0]
            row = torch.cat([more[more != PADDING_ID], row])
        return row

    def _cut(self, chosen: Tensor, length: int, generator: torch.Generator) -> Tensor:
        lengths = self._lengths[chosen]
        widths = lengths.clamp(max=length)
        room = (lengths - widths + 1).double()
        offsets = (torch.rand(len(chosen), dtype=torch.float64, generator=generator) * room).long()
        ends = self._starts[chosen] + torch.minimum(offsets, lengths - widths) + widths
        steps = torch.arange(-int(widths.max()), 0)
        events = self._events[(ends[:, None] + steps).clamp_(min=0)].long()
        return events.masked_fill_(steps < -widths[:, None], PADDING_ID)

    def _cut_stream(self, num_sequences: int, length: int, generator: torch.Generator) -> Tensor:
        num_events = int(self._lengths[0])
        length = min(length, num_events)
        num_places = num_events // length
        places = torch.randperm(num_places, generator=generator)[torch.arange(num_sequences) % num_places]
        return self._events[places[:, None] * length + torch.arange(length)].long()
