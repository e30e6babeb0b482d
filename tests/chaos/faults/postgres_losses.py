"""Postgres crashes and comes back, is away for longer than a lease, or a connection is cut as a transaction commits."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from random import Random

from tests.chaos.cluster import SHIPPED_TIMES, Cluster
from tests.chaos.evidence import collect
from tests.chaos.faults.users import Users
from tests.chaos.outcome import Goal, Outcome
from tests.chaos.process_table import LiveRun
from tests.chaos.workload import Workload

NUM_USERS = 2
CUT_RATE = 0.1
SETTINGS = {"lease_s": 6.0, "heartbeat_s": 1.0}
AWAY_S = 90.0
AWAY_SETTINGS = SHIPPED_TIMES | {"checkpoint_interval_s": 1.0, "checkpoint_max_share": 1.0}
AWAY_OUTER_STEPS = 80
LONGEST_LIFE_S = 8.0


def restart(cluster: Cluster, goal: Goal, random: Random) -> Outcome:
    """Crash every process of Postgres at a random moment of jobs and requests; it comes back in a second or so."""
    postgres = cluster.parts.postgres
    assert postgres is not None
    counts = Counter[str]()

    def crash() -> None:
        while not goal.reached(counts["crashes"]):
            time.sleep(random.uniform(1.0, 5.0))
            postgres.crash_and_restart()
            counts["crashes"] += 1

    outcome = _inject(cluster, crash)
    outcome.injected = counts["crashes"]
    return outcome


def cut_commits(cluster: Cluster, goal: Goal, random: Random) -> Outcome:
    """Cut connections as their COMMIT is on its way, and as many as its answer is."""
    proxy = cluster.parts.proxies["database"]
    faults = proxy.faults

    def cut() -> None:
        faults.cut_at, faults.cut_rate = b"COMMIT", CUT_RATE
        while not goal.reached(min(proxy.counts["cut before"], proxy.counts["answers lost"])):
            faults.cut_after = random.random() < 0.5
            time.sleep(0.2)
        faults.cut_at = None

    outcome = _inject(cluster, cut)
    outcome.injected = proxy.counts["cut before"] + proxy.counts["answers lost"]
    outcome.counts.update({name: proxy.counts[name] for name in ("cut before", "answers lost")})
    return outcome


def stay_away(cluster: Cluster, goal: Goal, random: Random) -> Outcome:
    """Refuse connections for longer than a lease, at the settings that the service is shipped with: no run is lost by that."""
    for _ in range(2):
        cluster.start_worker()
    work = Workload(cluster, outer_steps=AWAY_OUTER_STEPS)
    work.run_undisturbed(work.distil())
    proxy = cluster.parts.proxies["database"]
    outcome = Outcome(0)
    under_way: list[LiveRun] = []
    while not goal.reached(outcome.injected):
        jobs = [work.distil() for _ in range(2)]
        cluster.wait_until(lambda: bool(cluster.runs_alive()), "a run")
        time.sleep(random.uniform(0, LONGEST_LIFE_S))
        under_way += cluster.runs_alive()
        proxy.go_away()
        time.sleep(AWAY_S)
        proxy.come_back()
        outcome.injected += 1
        work.wait_until_ended(jobs)
    evidence = collect(cluster.settings)
    for run in under_way:
        outcomes = {row["number"]: row["outcome"] for row in evidence.of("runs", run.job_id)}
        outcome.counts["runs under way"] += 1
        if outcomes[run.token] == "lost":
            outcome.violations.append(f"{run.job_id}: run {run.token} was lost, though only the database was away")
    return work.examine(outcome)


def _inject(cluster: Cluster, fault: Callable[[], None]) -> Outcome:
    for queue in ("gpu", "cpu"):
        cluster.start_worker(queue)
    cluster.start_ready_server()
    users = Users(cluster)
    with users.at_work(NUM_USERS):
        fault()
    return users.examine(Outcome(0))
