"""SIGKILL of the API while clients submit, upload and follow events; and of a whole embedded service, everything at once."""

from __future__ import annotations

import signal
import time
from random import Random

from tests.chaos.cluster import Cluster
from tests.chaos.faults.users import Users
from tests.chaos.outcome import Goal, Outcome
from tests.chaos.process_table import send, tree_of

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
    """Kill ``farzi serve``, and every other time all that it started too, as when a machine loses its power.

    Alone it leaves a supervisor behind, which gives its jobs back in good order; of a whole tree nobody can say anything.
    """
    return _kill_again_and_again(cluster, goal, random, LONGEST_EMBEDDED_LIFE_S, trees=True)


def _kill_again_and_again(
    cluster: Cluster, goal: Goal, random: Random, longest_life_s: float, *, trees: bool = False
) -> Outcome:
    server = cluster.start_ready_server()
    users, outcome = Users(cluster), Outcome(0)
    with users.at_work(NUM_USERS, upload=UPLOAD):
        while not goal.reached(outcome.injected):
            time.sleep(random.uniform(0, longest_life_s))
            if trees and outcome.injected % 2 == 0:
                outcome.counts["whole trees"] += 1
                for pid in tree_of(server.pid):
                    send(pid, signal.SIGKILL)
            server.kill()
            server.wait()
            cluster.processes.remove(server)
            outcome.injected += 1
            killed_at = time.monotonic()
            server = cluster.start_ready_server()
            outcome.recoveries_s.append(time.monotonic() - killed_at)
    return users.examine(outcome)
