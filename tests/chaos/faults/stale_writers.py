"""SIGSTOP of worker and run past their lease; another run ends the job; SIGCONT: what wakes up must not be able to write."""

from __future__ import annotations

import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from random import Random
from threading import Lock, Semaphore
from typing import Any

from sqlalchemy import text

from tests.chaos.cluster import Cluster
from tests.chaos.outcome import Goal, Outcome
from tests.chaos.process_table import LiveRun, describe, exit_status, send
from tests.chaos.workload import Workload
from tests.services.processes import is_running

SETTINGS = {"lease_s": 4.0, "heartbeat_s": 1.0, "control_poll_s": 0.2}
AT_ONCE = 6
# 76: it noticed. Others end with an error first: the database or the store gave up their connection while they were frozen.
REFUSED = {76, 70, 69}
WAKING_S = 60.0
POLL_S = 0.15
# Validations start without torch: more duels fit into an hour, and the fence is the same.
QUEUES = (*["cpu"] * 7, "gpu")
NUM_SPARE = 2


def inject(cluster: Cluster, goal: Goal, random: Random) -> Outcome:
    """Make stale writers, some of each kind of job, and see each of them refused."""
    work, outcome = Workload(cluster), Outcome(0)
    at_once = min(AT_ONCE, goal.count)
    room = {"gpu": max(1, at_once // 3), "cpu": at_once}
    for queue, count in room.items():
        for _ in range(count + min(NUM_SPARE, goal.count)):
            cluster.start_worker(queue)
    life_s = {"gpu": work.run_undisturbed(work.distil()), "cpu": work.run_undisturbed(work.validate())}
    arena = _Arena(goal, random.getrandbits(32), {queue: Semaphore(count) for queue, count in room.items()})
    with ThreadPoolExecutor(at_once) as pool:
        for duellist in [pool.submit(_duel_on, work, life_s, arena) for _ in range(at_once)]:
            duellist.result()
    outcome.counts, outcome.violations, outcome.injected = arena.counts, arena.violations, arena.counts["stale writers"]
    work.wait_until_ended()
    return work.examine(outcome)


class _Arena:
    """How many duels are still to be fought, and what came of the others."""

    def __init__(self, goal: Goal, seed: int, room: dict[str, Semaphore]) -> None:
        self.counts: Counter[str] = Counter()
        self.violations: list[str] = []
        self.room = room
        self._goal, self._seed = goal, seed
        self._begun = self._missed = 0
        self._lock = Lock()

    def draw(self) -> Random | None:
        """Return the chances of one more duel, or None; one whose run was over too early is fought again."""
        with self._lock:
            if self._goal.reached(self._begun - self._missed) or self._missed > self._goal.count:
                return None
            self._begun += 1
            return Random(self._seed + self._begun)

    def note(self, counts: Counter[str], violations: list[str]) -> None:
        with self._lock:
            self.counts += counts
            self.violations += violations
            self._missed += int(not counts["stale writers"])


def _duel_on(work: Workload, life_s: dict[str, float], arena: _Arena) -> None:
    while (chances := arena.draw()) is not None:
        queue = chances.choice(QUEUES)
        with arena.room[queue]:  # the workers of stale writers are stopped too: some have to be left
            arena.note(*_duel(work, queue, chances, life_s[queue]))


def _duel(work: Workload, queue: str, random: Random, life_s: float) -> tuple[Counter[str], list[str]]:
    """Stop one run and its worker at a random moment; wake them when another has ended the job."""
    job_id = work.distil() if queue == "gpu" else work.validate()
    run = _wait_for_run(work, job_id)
    if run is None:
        return Counter({"ended before it was met": 1}), []
    time.sleep(random.uniform(0, 0.9 * life_s))
    # The supervisor first: it would keep the lease, or end a run that has lost it.
    send(run.parent_pid, signal.SIGSTOP)
    send(run.pid, signal.SIGSTOP)
    try:
        if not is_running(run.pid):
            return Counter({"ended before it was stopped": 1}), []
        work.wait_until_ended([job_id])
        before = _rows(work.cluster, job_id)
        if work.cluster.job(job_id).lease_token == run.token:  # its last write had gone before it was stopped
            return Counter({"ended before it was stopped": 1}), []
        send(run.pid, signal.SIGCONT)
        status = _wait_for_exit(run)
        still = describe(run.pid) if status is None else ""
        after = _rows(work.cluster, job_id)
    finally:
        for pid in (run.pid, run.parent_pid):
            send(pid, signal.SIGCONT)
    violations = []
    if before != after:
        violations.append(f"{job_id}: a stale run of token {run.token} changed something")
    if status not in REFUSED:
        said = f"ended with {status}" if status is not None else f"did not end: {still}"
        violations.append(f"{job_id}: a stale run of token {run.token} {said}")
    counts = Counter({"stale writers": 1, f"stale writers of queue {queue}": 1, "refused": int(not violations)})
    counts[f"ended with {status}"] += 1
    return counts, violations


def _wait_for_run(work: Workload, job_id: str) -> LiveRun | None:
    while work.unended([job_id]):
        for run in work.cluster.runs_alive():
            if run.job_id == job_id:
                return run
        time.sleep(POLL_S)
    return None


def _wait_for_exit(run: LiveRun) -> int | None:
    """Return how the run ended; its parent, which is still stopped, has not reaped it."""
    give_up_at = time.monotonic() + WAKING_S
    while (status := exit_status(run.pid)) is None and time.monotonic() < give_up_at:
        time.sleep(POLL_S)
    return status


def _rows(cluster: Cluster, job_id: str) -> list[dict[str, Any]]:
    """Return everything that the database has of the job."""
    tables = {"jobs": "id", "runs": "number", "job_events": "seq", "job_metrics": "name, step", "manifests": "job_id"}
    found: list[dict[str, Any]] = []
    with cluster.engine.connect() as connection:
        for table, order in {**tables, "artifacts": "name"}.items():
            key = "id" if table == "jobs" else "job_id"
            rows = connection.execute(text(f"SELECT * FROM {table} WHERE {key} = :id ORDER BY {order}"), {"id": job_id})
            found += [dict(row) for row in rows.mappings()]
    return found
