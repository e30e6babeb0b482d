"""Postgres crashes and comes back, or a connection is cut as a transaction commits: before it is done, or after."""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random

from tests.chaos.cluster import Cluster
from tests.chaos.faults.users import Users
from tests.chaos.outcome import Outcome

NUM_USERS = 2
SETTINGS = {"lease_s": 6.0, "heartbeat_s": 1.0}


def restart(cluster: Cluster, count: int, random: Random) -> Outcome:
    """Crash every process of Postgres at a random moment of jobs and requests; it comes back in a second or so."""
    postgres = cluster.parts.postgres
    assert postgres is not None

    def crash() -> None:
        for _ in range(count):
            time.sleep(random.uniform(1.0, 6.0))
            postgres.crash_and_restart()

    return _inject(cluster, count, crash)


def cut_commits(cluster: Cluster, count: int, random: Random) -> Outcome:
    """Cut ``count`` connections as their COMMIT is on its way, and as many as its answer is."""
    proxy = cluster.parts.proxies["database"]
    faults = proxy.faults

    def cut() -> None:
        faults.cut_at, faults.cut_rate = b"COMMIT", 0.04
        while min(proxy.counts["cut before"], proxy.counts["answers lost"]) < count:
            faults.cut_after = random.random() < 0.5
            time.sleep(0.2)
        faults.cut_at = None

    outcome = _inject(cluster, 2 * count, cut)
    outcome.injected = proxy.counts["cut before"] + proxy.counts["answers lost"]
    outcome.counts.update({name: proxy.counts[name] for name in ("cut before", "answers lost")})
    return outcome


def _inject(cluster: Cluster, count: int, fault: Callable[[], None]) -> Outcome:
    for queue in ("gpu", "cpu"):
        cluster.start_worker(queue)
    cluster.start_server()
    cluster.wait_until_ready()
    users = Users(cluster)
    with users.at_work(NUM_USERS):
        fault()
    return users.examine(Outcome(count))
