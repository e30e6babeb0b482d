"""An object store that answers 503, takes two seconds for each request, or resets connections in the middle of a body."""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random

from tests.chaos.cluster import Cluster
from tests.chaos.faults.users import Users
from tests.chaos.outcome import Goal, Outcome
from tests.chaos.proxy import FaultProxy

NUM_USERS = 4
ERROR_RATES = (0.05, 0.2)
LATENCY_S = 2.0
RESET_RATE = 0.3
# Some hundred kilobytes: connections are reset in the middle of it, not at its end.
UPLOAD = b"user,item,timestamp\n" + b"".join(
    b"%d,%d,%d\n" % (user, (user + at) % 20, at) for user in range(3000) for at in range(10)
)
# Two parts, with a column that nobody reads: what is cut are its bytes, and reading it takes no time.
IN_PARTS = b"user,item,timestamp,note\n" + b"".join(
    b"%d,%d,%d,%s\n" % (user, (user + at) % 20, at, b"-" * 2000) for user in range(300) for at in range(10)
)


def errors(cluster: Cluster, goal: Goal, random: Random) -> Outcome:
    """Answer requests with 503, at a rate that changes between 5 and 20 %."""

    def change(proxy: FaultProxy) -> None:
        proxy.faults.error_rate = random.uniform(*ERROR_RATES)

    return _inject(cluster, goal, "errors", change)


def latency(cluster: Cluster, goal: Goal, random: Random) -> Outcome:
    """Let requests wait two seconds each."""

    def change(proxy: FaultProxy) -> None:
        proxy.faults.latency_s = LATENCY_S

    return _inject(cluster, goal, "delayed", change)


def resets(cluster: Cluster, goal: Goal, random: Random) -> Outcome:
    """Reset connections in the middle of a body that is sent."""

    def change(proxy: FaultProxy) -> None:
        proxy.faults.reset_rate = RESET_RATE

    return _inject(cluster, goal, "resets", change)


def _inject(cluster: Cluster, goal: Goal, counted: str, change: Callable[[FaultProxy], None]) -> Outcome:
    for queue in ("gpu", "gpu", "cpu"):
        cluster.start_worker(queue)
    cluster.start_ready_server()
    proxy = cluster.parts.proxies["store"]
    users = Users(cluster)
    with users.at_work(NUM_USERS, upload=UPLOAD, in_parts=IN_PARTS):
        while not goal.reached(proxy.counts[counted]):
            change(proxy)
            time.sleep(1.0)
        proxy.faults.error_rate = proxy.faults.latency_s = proxy.faults.reset_rate = 0.0
    outcome = users.examine(Outcome(proxy.counts[counted]))
    outcome.counts["store requests"] = proxy.counts["requests"]
    return outcome
