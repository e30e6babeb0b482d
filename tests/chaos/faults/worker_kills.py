"""SIGKILL of a worker in the middle of a run, at the settings that the service is shipped with."""

from __future__ import annotations

import os
import time
from random import Random

from tests.chaos.cluster import SHIPPED_TIMES, Cluster
from tests.chaos.evidence import collect
from tests.chaos.outcome import Goal, Kill, Outcome, recoveries
from tests.chaos.workload import Workload, now

SETTINGS = SHIPPED_TIMES | {"checkpoint_interval_s": 1.0, "checkpoint_max_share": 1.0}
NUM_WORKERS = 6
LONGEST_LIFE_S = 8.0
OUTER_STEPS = 80
POLL_S = 0.15


def inject(cluster: Cluster, goal: Goal, random: Random) -> Outcome:
    """Kill workers that run a job, each at a random moment; every one is replaced at once, as by an init system."""
    workers = {worker.pid: worker for worker in (cluster.start_worker() for _ in range(min(NUM_WORKERS, goal.count + 1)))}
    work = Workload(cluster, outer_steps=OUTER_STEPS)
    work.run_undisturbed(work.distil())
    doomed_at: dict[tuple[str, int], float] = {}
    kills: list[Kill] = []
    while not goal.reached(len(kills)):
        runs = cluster.runs_alive()
        _keep_busy(work, len(workers) // 2 - len(runs))
        for run in runs:
            at = doomed_at.setdefault((run.job_id, run.token), time.monotonic() + random.uniform(0, LONGEST_LIFE_S))
            if time.monotonic() < at or run.parent_pid not in workers or len(kills) == goal.count:
                continue
            os.kill(run.parent_pid, 9)
            kills.append(Kill(run.job_id, run.token, now(cluster)))
            replacement = cluster.replace(workers.pop(run.parent_pid), "worker.main", "--queue", "gpu")
            workers[replacement.pid] = replacement
        time.sleep(POLL_S)
    work.wait_until_ended()
    outcome = Outcome(len(kills), recoveries_s=recoveries(collect(cluster.settings), kills))
    outcome.counts.update({"kills after the run's end": len(kills) - len(outcome.recoveries_s)})
    return work.examine(outcome)


def _keep_busy(work: Workload, num_idle: int) -> None:
    """Submit for half of the workers: the others are free to take over."""
    queued = sum(status == "queued" for status in work.statuses().values())
    for _ in range(num_idle - queued):
        work.distil()
