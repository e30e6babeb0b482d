"""What a fault's injection comes to: how often, what followed, how long until the job went on, and what did not hold."""

from __future__ import annotations

import math
import statistics
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from tests.chaos.evidence import Evidence


@dataclass(frozen=True)
class Goal:
    """How often a fault is to be injected at least, unless time is up before (``until``, by the monotonic clock)."""

    count: int
    until: float = math.inf

    def reached(self, num_injected: int) -> bool:
        return num_injected >= self.count or time.monotonic() >= self.until

    def left(self, num_injected: int, at_most: int) -> int:
        """Return how many more go into a batch of ``at_most``."""
        return min(at_most, self.count - num_injected)


@dataclass
class Outcome:
    """The result of one command."""

    injected: int
    counts: Counter[str] = field(default_factory=Counter)
    recoveries_s: list[float] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)


def percentiles(recoveries_s: Iterable[float]) -> dict[str, float]:
    """Return median, 95th percentile and maximum, in seconds; nothing of nothing."""
    ordered = sorted(recoveries_s)
    if not ordered:
        return {}
    p95 = ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]
    return {"p50": round(statistics.median(ordered), 2), "p95": round(p95, 2), "max": round(ordered[-1], 2)}


@dataclass(frozen=True)
class Kill:
    """When a job's process was taken from it."""

    job_id: str
    token: int
    at: datetime


def recoveries(evidence: Evidence, kills: Iterable[Kill]) -> list[float]:
    """Return the seconds from each kill that cost a run to the start of the job's next run."""
    found = []
    for kill in kills:
        runs = {run["number"]: run for run in evidence.of("runs", kill.job_id)}
        if runs[kill.token]["outcome"] == "lost" and kill.token + 1 in runs:
            found.append((runs[kill.token + 1]["started_at"] - kill.at).total_seconds())
    return found
