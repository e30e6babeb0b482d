"""A part of the service takes connections and bytes and answers nothing: stopped, or behind a way that swallows all."""

from __future__ import annotations

import time
from random import Random

from tests.chaos.cluster import Cluster
from tests.chaos.faults.users import Users
from tests.chaos.outcome import Goal, Outcome

NUM_USERS = 2
# Some end before anybody gives up, some after the last has.
SILENT_S = (2.0, 60.0)


def of_database(cluster: Cluster, goal: Goal, random: Random) -> Outcome:
    """Requests, runs and supervisors meet a Postgres that says nothing."""
    return _inject(cluster, goal, random, "database")


def of_broker(cluster: Cluster, goal: Goal, random: Random) -> Outcome:
    """Relays and workers meet a Redis that says nothing."""
    return _inject(cluster, goal, random, "broker")


def of_store(cluster: Cluster, goal: Goal, random: Random) -> Outcome:
    """Requests, runs and maintenance meet an S3 server that says nothing."""
    return _inject(cluster, goal, random, "store")


def _inject(cluster: Cluster, goal: Goal, random: Random, part: str) -> Outcome:
    for queue in ("gpu", "cpu"):
        cluster.start_worker(queue)
    cluster.start_ready_server()
    proxy = cluster.parts.proxies[part]
    outcome = Outcome(0)
    users = Users(cluster)
    with users.at_work(NUM_USERS):
        while not goal.reached(outcome.injected):
            time.sleep(random.uniform(1.0, 5.0))
            proxy.faults.is_silent = True
            time.sleep(random.uniform(*SILENT_S))
            proxy.faults.is_silent = False
            outcome.injected += 1
    outcome.counts["chunks kept silent"] = proxy.counts["kept silent"]
    return users.examine(outcome)
