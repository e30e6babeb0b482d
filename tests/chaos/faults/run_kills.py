"""SIGKILL of a run's process at a random moment of its life; the worker lives."""

from __future__ import annotations

import time
from random import Random

from tests.chaos.cluster import Cluster
from tests.chaos.evidence import collect
from tests.chaos.outcome import Kill, Outcome, recoveries
from tests.chaos.workload import Workload, now

NUM_DISTILLATIONS = 3
NUM_VALIDATIONS = 2
# A little beyond the end: some runs get through, and some die while they publish.
BEYOND = 1.15
POLL_S = 0.03
UNDISTURBED = "undisturbed"


def inject(cluster: Cluster, count: int, random: Random) -> Outcome:
    """Kill ``count`` runs while jobs of both kinds keep coming."""
    for queue in ("gpu", "gpu", "cpu"):
        cluster.start_worker(queue)
    work = Workload(cluster)
    typical_s = {
        "validation": work.run_undisturbed(work.validate()),
        "distillation": work.run_undisturbed(work.distil()),
    }
    kinds = dict.fromkeys(work.accepted, UNDISTURBED)
    doomed_at: dict[tuple[str, int], float] = {}
    kills: list[Kill] = []
    while len(kills) < count:
        _keep_coming(work, kinds)
        for run in cluster.runs_alive():
            if kinds[run.job_id] == UNDISTURBED:
                continue
            life = typical_s[kinds[run.job_id]] * BEYOND
            at = doomed_at.setdefault((run.job_id, run.token), time.monotonic() + random.uniform(0, life))
            if time.monotonic() >= at and len(kills) < count and run.kill():
                kills.append(Kill(run.job_id, run.token, now(cluster)))
                doomed_at[run.job_id, run.token] = float("inf")
        time.sleep(POLL_S)
    work.wait_until_ended()
    outcome = Outcome(len(kills), recoveries_s=recoveries(collect(cluster.settings), kills))
    outcome.counts.update(f"kills of a {kinds[kill.job_id]}" for kill in kills)
    return work.examine(outcome)


def _keep_coming(work: Workload, kinds: dict[str, str]) -> None:
    unended = [kinds[job_id] for job_id in work.unended()]
    for kind, wanted, submit in (
        ("distillation", NUM_DISTILLATIONS, work.distil),
        ("validation", NUM_VALIDATIONS, work.validate),
    ):
        for _ in range(wanted - unended.count(kind)):
            kinds[submit()] = kind
