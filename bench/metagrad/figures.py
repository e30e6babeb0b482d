"""Medians, spreads and ratios of a race, and how they compare with the targets."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.metagrad.contestants import BASELINE

Measurement = dict[str, Any]


@dataclass(frozen=True)
class Figures:
    """What the rounds of one contestant at one T amount to.

    Attributes:
        rounds: how many measurements there are.
        cpu_s: median, least and greatest CPU seconds.
        peak_bytes: median.
        time_ratio: median over the rounds of CPU time over the baseline's of the same round; None without a baseline.
        memory_ratio: the same of peak memory.
    """

    rounds: int
    cpu_s: tuple[float, float, float]
    peak_bytes: float
    time_ratio: float | None
    memory_ratio: float | None


class Race:
    """The measurements of a race, by setting, contestant and T."""

    def __init__(self, measurements: list[Measurement]) -> None:
        self._taken: dict[tuple[str, str, int], dict[int, Measurement]] = {}
        for item in measurements:
            key = (item["setting"], item["contestant"], item["num_inner_steps"])
            self._taken.setdefault(key, {})[item["round"]] = item

    def lengths(self, setting: str) -> list[int]:
        """Return every T at which the baseline ran, whether or not its memory sufficed."""
        return sorted({length for name, contestant, length in self._taken if (name, contestant) == (setting, BASELINE)})

    def contestants(self, setting: str) -> list[str]:
        return list(dict.fromkeys(contestant for name, contestant, _ in self._taken if name == setting))

    def rounds(self, setting: str, contestant: str, length: int) -> list[Measurement]:
        return list(self._taken.get((setting, contestant, length), {}).values())

    def figures(self, setting: str, contestant: str, length: int, baseline: str = BASELINE) -> Figures | None:
        """Return None where a contestant ran out of memory or was not run."""
        rounds = self._finished(setting, contestant, length)
        if not rounds:
            return None
        seconds = [item["cpu_s"] for item in rounds.values()]
        return Figures(
            rounds=len(rounds),
            cpu_s=(statistics.median(seconds), min(seconds), max(seconds)),
            peak_bytes=statistics.median(item["peak_bytes"] for item in rounds.values()),
            time_ratio=self._ratio(setting, contestant, baseline, length, "cpu_s"),
            memory_ratio=self._ratio(setting, contestant, baseline, length, "peak_bytes"),
        )

    def growth(self, setting: str, contestant: str, shorter: int, longer: int) -> float | None:
        """Return the peak memory at one T over that at a shorter one."""
        short, long = (self.figures(setting, contestant, length) for length in (shorter, longer))
        return None if short is None or long is None else long.peak_bytes / short.peak_bytes

    def _finished(self, setting: str, contestant: str, length: int) -> dict[int, Measurement]:
        rounds = self._taken.get((setting, contestant, length), {})
        return {turn: item for turn, item in rounds.items() if "cpu_s" in item}

    def _ratio(self, setting: str, contestant: str, baseline: str, length: int, quantity: str) -> float | None:
        ours, theirs = self._finished(setting, contestant, length), self._finished(setting, baseline, length)
        ratios = [item[quantity] / theirs[turn][quantity] for turn, item in ours.items() if turn in theirs]
        return statistics.median(ratios) if ratios else None


@dataclass(frozen=True)
class Target:
    """A promise, and which figure shows whether it is kept."""

    title: str
    limit: float
    length: int
    read: Callable[[Figures], float | None]


TARGETS = (
    Target("CPU time at T = 20, at most 1.00", 1.0, 20, lambda figures: figures.time_ratio),
    Target("CPU time at T = 40, at most 1.00", 1.0, 40, lambda figures: figures.time_ratio),
    Target("peak memory at T = 60, at most 0.100", 0.1, 60, lambda figures: figures.memory_ratio),
    Target("peak memory at T = 200, at most 0.050", 0.05, 200, lambda figures: figures.memory_ratio),
)
GROWTH_LIMIT = 1.5
