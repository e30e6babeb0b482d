"""Redis is flushed, restarted empty, or away for a minute: messages are lost, jobs are not, and the API goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from random import Random

from tests.chaos.cluster import Cluster
from tests.chaos.evidence import collect
from tests.chaos.insistent_client import InsistentClient
from tests.chaos.outcome import Goal, Outcome
from tests.chaos.workload import Workload, now

JOBS_A_FAULT = 4
AWAY_S = 60.0


def flush(cluster: Cluster, goal: Goal, random: Random) -> Outcome:
    """FLUSHALL, at a random moment after jobs were submitted."""
    assert cluster.parts.redis is not None
    return _inject(cluster, goal, random, cluster.parts.redis.flush)


def restart_empty(cluster: Cluster, goal: Goal, random: Random) -> Outcome:
    """SIGKILL of Redis, and a start with nothing in it."""
    redis = cluster.parts.redis
    assert redis is not None

    def kill_and_start() -> None:
        redis.kill()
        time.sleep(random.uniform(0, 2))
        redis.start()

    return _inject(cluster, goal, random, kill_and_start)


def stay_away(cluster: Cluster, goal: Goal, random: Random, *, away_s: float = AWAY_S) -> Outcome:
    """Redis refuses connections for a minute; what is submitted meanwhile is accepted."""
    proxy = cluster.parts.proxies["broker"]

    def go_away() -> None:
        proxy.go_away()
        time.sleep(away_s)
        proxy.come_back()

    return _inject(cluster, goal, random, go_away, submit_through=True)


def _inject(
    cluster: Cluster, goal: Goal, random: Random, fault: Callable[[], None], *, submit_through: bool = False
) -> Outcome:
    for _ in range(2):
        cluster.start_worker("cpu")
    cluster.start_ready_server()
    client, work = InsistentClient(cluster), Workload(cluster)
    waiting: list[tuple[str, datetime]] = []
    outcome = Outcome(0)
    while not goal.reached(outcome.injected):
        jobs = [work.validate() for _ in range(JOBS_A_FAULT)]
        time.sleep(random.uniform(0, 1.5))
        at = now(cluster)
        fault()
        outcome.injected += 1
        waiting += [(job_id, at) for job_id in work.unended(jobs)]
        if submit_through:
            before = client.counts.total()
            client.upload(f"after-{outcome.injected}")
            outcome.counts["requests refused"] += client.counts.total() - before - 1
        # A job that waits through the next fault as well would not say how long it waits for one.
        work.wait_until_ended(jobs)
    work.wait_until_ended()
    evidence = collect(cluster.settings)
    for job_id, at in waiting:
        starts = [run["started_at"] for run in evidence.of("runs", job_id) if run["started_at"] > at]
        outcome.recoveries_s += [(start - at).total_seconds() for start in starts[:1]]
    client.close()
    outcome.violations += client.violations
    return work.examine(outcome)
