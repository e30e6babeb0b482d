"""SIGKILL of a run's process at a random moment of its life; the worker lives."""

from __future__ import annotations

import math
import time
from collections import Counter
from random import Random

from tests.chaos.cluster import Cluster
from tests.chaos.evidence import collect
from tests.chaos.outcome import Goal, Kill, Outcome, recoveries
from tests.chaos.process_table import LiveRun
from tests.chaos.workload import Workload, now

NUM_DISTILLATIONS = 3
NUM_VALIDATIONS = 2
# A little beyond the end: some runs get through, and some die while they publish.
BEYOND = 1.15
SPARED = 0.2
POLL_S = 0.08
UNDISTURBED = "undisturbed"


def inject(cluster: Cluster, goal: Goal, random: Random) -> Outcome:
    """Kill runs while jobs of both kinds keep coming."""
    for queue in ("gpu", "gpu", "cpu"):
        cluster.start_worker(queue)
    work = Workload(cluster)
    typical_s = {
        "validation": work.run_undisturbed(work.validate()),
        "distillation": work.run_undisturbed(work.distil()),
    }
    kinds = dict.fromkeys(work.accepted, UNDISTURBED)
    dooms = _Dooms(random, typical_s)
    kills: list[Kill] = []
    moments: Counter[str] = Counter()
    while not goal.reached(len(kills)):
        _keep_coming(work, kinds)
        for run in cluster.runs_alive():
            if kinds[run.job_id] == UNDISTURBED:
                continue
            if dooms.is_due(run, kinds[run.job_id]) and len(kills) < goal.count and run.kill():
                kills.append(Kill(run.job_id, run.token, now(cluster)))
                moments[f"killed in {cluster.job(run.job_id).phase or 'its first seconds'}"] += 1
        time.sleep(POLL_S)
    work.wait_until_ended()
    outcome = Outcome(len(kills), moments, recoveries(collect(cluster.settings), kills))
    outcome.counts.update(f"kills of a {kinds[kill.job_id]}" for kill in kills)
    return work.examine(outcome)


class _Dooms:
    """When each run is to be killed: at a moment of the life that runs of its kind have had so far, or never."""

    def __init__(self, random: Random, life_s: dict[str, float]) -> None:
        self._random, self._life_s = random, life_s
        self._born: dict[tuple[str, int], float] = {}
        self._at: dict[tuple[str, int], float] = {}

    def is_due(self, run: LiveRun, kind: str) -> bool:
        """Say once of a run that its time has come."""
        key, at = (run.job_id, run.token), time.monotonic()
        if key not in self._at:
            self._born[key] = at
            spared = self._random.random() < SPARED
            self._at[key] = math.inf if spared else at + self._random.uniform(0, self._life_s[kind] * BEYOND)
        # On a machine that is busy by now, runs live longer than the undisturbed ones did.
        self._life_s[kind] = max(self._life_s[kind], at - self._born[key])
        if at < self._at[key]:
            return False
        self._at[key] = math.inf
        return True


def _keep_coming(work: Workload, kinds: dict[str, str]) -> None:
    unended = [kinds[job_id] for job_id in work.unended()]
    for kind, wanted, submit in (
        ("distillation", NUM_DISTILLATIONS, work.distil),
        ("validation", NUM_VALIDATIONS, work.validate),
    ):
        for _ in range(wanted - unended.count(kind)):
            kinds[submit()] = kind
