"""How far a pipeline is: work planned and done, in units that take about equally long. Knows nothing of what the work is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class WorkMeter:
    """Work planned and done by name.

    Args:
        planned: cost of each piece of work, any unit.
        unit: cost that counts as one.
    """

    def __init__(self, planned: Mapping[str, float], unit: float) -> None:
        self._planned = dict(planned)
        self._done = dict.fromkeys(planned, 0.0)
        self._unit = unit

    def add(self, name: str, cost: float) -> None:
        """Count ``cost`` more of a piece of work as done, never more than was planned of it."""
        self._done[name] = min(self._planned[name], self._done[name] + cost)

    def finish(self, name: str) -> None:
        """Close a piece of work: what was planned of it and not needed leaves the total."""
        self._planned[name] = self._done[name]

    @property
    def total(self) -> int:
        """Units planned, at least 1."""
        return max(1, round(sum(self._planned.values()) / self._unit))

    @property
    def done(self) -> int:
        """Units done, at most ``total``; all of them only when nothing is left."""
        if self._done == self._planned:
            return self.total
        return min(self.total - 1, int(sum(self._done.values()) / self._unit))

    def values(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        return {"planned": dict(self._planned), "done": dict(self._done)}

    def restore(self, values: Mapping[str, Any]) -> None:
        """Go on from what :meth:`values` returned."""
        self._planned, self._done = dict(values["planned"]), dict(values["done"])
