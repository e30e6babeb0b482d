"""SIGKILL of the API while clients submit, upload and follow events; and of a whole embedded service, everything at once."""

from __future__ import annotations

import time
from random import Random

from tests.chaos.cluster import Cluster
from tests.chaos.faults.users import Users
from tests.chaos.outcome import Goal, Outcome

NUM_USERS = 3
LONGEST_LIFE_S = 2.5
LONGEST_EMBEDDED_LIFE_S = 8.0
# Megabytes: the API dies in the middle of them.
UPLOAD = b"user,item,timestamp\n" + b"".join(
    b"%d,%d,%d\n" % (user, (user + at) % 20, at) for user in range(4000) for at in range(20)
)


def api(cluster: Cluster, goal: Goal, random: Random) -> Outcome:
    """Kill the API; jobs run on in their workers."""
    for queue in ("gpu", "cpu"):
        cluster.start_worker(queue)
    return _kill_again_and_again(cluster, goal, random, LONGEST_LIFE_S)


def embedded(cluster: Cluster, goal: Goal, random: Random) -> Outcome:
    """Kill ``farzi serve``: API, supervisor and runs end with it, and the next one goes on."""
    return _kill_again_and_again(cluster, goal, random, LONGEST_EMBEDDED_LIFE_S)


def _kill_again_and_again(cluster: Cluster, goal: Goal, random: Random, longest_life_s: float) -> Outcome:
    server = cluster.start_ready_server()
    users, outcome = Users(cluster), Outcome(0)
    with users.at_work(NUM_USERS, upload=UPLOAD):
        while not goal.reached(outcome.injected):
            time.sleep(random.uniform(0, longest_life_s))
            server.kill()
            server.wait()
            cluster.processes.remove(server)
            outcome.injected += 1
            killed_at = time.monotonic()
            server = cluster.start_ready_server()
            outcome.recoveries_s.append(time.monotonic() - killed_at)
    return users.examine(outcome)
