"""Postgres crashes and comes back, or a connection is cut as a transaction commits: before it is done, or after."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from random import Random

from tests.chaos.cluster import Cluster
from tests.chaos.faults.users import Users
from tests.chaos.outcome import Goal, Outcome

NUM_USERS = 2
CUT_RATE = 0.1
SETTINGS = {"lease_s": 6.0, "heartbeat_s": 1.0}


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


def _inject(cluster: Cluster, fault: Callable[[], None]) -> Outcome:
    for queue in ("gpu", "cpu"):
        cluster.start_worker(queue)
    cluster.start_ready_server()
    users = Users(cluster)
    with users.at_work(NUM_USERS):
        fault()
    return users.examine(Outcome(0))
