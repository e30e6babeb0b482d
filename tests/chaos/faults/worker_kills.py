"""SIGKILL of a worker in the middle of a run, at the settings that the service is shipped with.

What is measured is how soon the loss is noticed, so a worker has to be free to go on: few jobs wait at any time.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import time
from collections.abc import Callable
from random import Random

from sqlalchemy import select

from app.jobs.models import Job
from tests.chaos.cluster import SHIPPED_TIMES, Cluster
from tests.chaos.evidence import collect
from tests.chaos.outcome import Goal, Kill, Outcome, recoveries
from tests.chaos.workload import ENDED, Workload, now

SETTINGS = SHIPPED_TIMES | {"checkpoint_interval_s": 1.0, "checkpoint_max_share": 1.0}
NUM_WORKERS = 6
LONGEST_LIFE_S = 8.0
OUTER_STEPS = 80
POLL_S = 0.15
MOST_WAITING = 2


def inject(cluster: Cluster, goal: Goal, random: Random) -> Outcome:
    """Kill workers that run a job, each at a random moment; every one is replaced at once, as by an init system."""
    return _inject(cluster, goal, random, lambda: None)


def lose_machines(cluster: Cluster, goal: Goal, random: Random) -> Outcome:
    """The same where no worker sees another's lock, as on machines of their own: leases have to run out."""
    machines = itertools.count()

    def change_machine() -> None:
        cluster.temporary = cluster.directory / f"machine-{next(machines)}"
        cluster.temporary.mkdir()

    return _inject(cluster, goal, random, change_machine)


def _inject(cluster: Cluster, goal: Goal, random: Random, before_start: Callable[[], None]) -> Outcome:
    workers: dict[int, subprocess.Popen[bytes]] = {}
    for _ in range(min(NUM_WORKERS, goal.count + 1)):
        before_start()
        worker = cluster.start_worker()
        workers[worker.pid] = worker
    work = Workload(cluster, outer_steps=OUTER_STEPS)
    work.run_undisturbed(work.distil())
    doomed_at: dict[tuple[str, int], float] = {}
    kills: list[Kill] = []
    waiting: list[Kill] = []
    while not goal.reached(len(kills)):
        runs = cluster.runs_alive()
        waiting = _still_waiting(cluster, waiting)
        _keep_busy(work, len(workers) // 2 - len(runs))
        for run in runs:
            at = doomed_at.setdefault((run.job_id, run.token), time.monotonic() + random.uniform(0, LONGEST_LIFE_S))
            is_due = time.monotonic() >= at and len(waiting) < MOST_WAITING
            if not is_due or run.parent_pid not in workers or len(kills) == goal.count:
                continue
            os.kill(run.parent_pid, 9)
            kills.append(Kill(run.job_id, run.token, now(cluster)))
            waiting.append(kills[-1])
            before_start()
            replacement = cluster.replace(workers.pop(run.parent_pid), "worker.main", "--queue", "gpu")
            workers[replacement.pid] = replacement
        time.sleep(POLL_S)
    work.wait_until_ended()
    outcome = Outcome(len(kills), recoveries_s=recoveries(collect(cluster.settings), kills))
    outcome.counts.update({"kills after the run's end": len(kills) - len(outcome.recoveries_s)})
    return work.examine(outcome)


def _still_waiting(cluster: Cluster, kills: list[Kill]) -> list[Kill]:
    """Return the kills whose jobs have not gone on."""
    with cluster.session_factory() as session:
        jobs = {job.id: job for job in session.scalars(select(Job).where(Job.id.in_([kill.job_id for kill in kills])))}
    return [kill for kill in kills if jobs[kill.job_id].lease_token == kill.token and jobs[kill.job_id].status not in ENDED]


def _keep_busy(work: Workload, num_idle: int) -> None:
    """Submit for half of the workers: the others are free to take over."""
    queued = sum(status == "queued" for status in work.statuses().values())
    for _ in range(num_idle - queued):
        work.distil()
