"""Gives an inner step that is computed again the random numbers it drew the first time.

Knows torch's global generators, and nothing of losses. A loss that brings a generator of its own does not need this.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


class RandomReplay:
    """Remembers where the global generators of the CPU and of the parameters' device stood before each step.

    The first time, steps draw from the generators as a plain loop would. Later times draw the same numbers, and leave the
    generators as they were found.

    Cost: 5 KB for each step that draws; nothing is kept for steps that do not.
    """

    def __init__(self, device: torch.device) -> None:
        self._is_cuda = device.type == "cuda"
        self._device = device
        self._seen: set[int] = set()
        self._states: dict[int, list[Tensor]] = {}

    @contextmanager
    def at(self, step: int) -> Iterator[None]:
        """Run what is inside as a computation of inner step ``step``."""
        if step not in self._seen:
            before = self._read()
            yield
            self._seen.add(step)
            if not all(map(torch.equal, before, self._read())):
                self._states[step] = before
        elif step in self._states:
            outside = self._read()
            self._write(self._states[step])
            try:
                yield
            finally:
                self._write(outside)
        else:
            yield

    def _read(self) -> list[Tensor]:
        states = [torch.get_rng_state()]
        return [*states, torch.cuda.get_rng_state(self._device)] if self._is_cuda else states

    def _write(self, states: list[Tensor]) -> None:
        torch.set_rng_state(states[0])
        if self._is_cuda:
            torch.cuda.set_rng_state(states[1], self._device)
