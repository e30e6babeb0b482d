"""SIGSTOP of worker and run past their lease; another run ends the job; SIGCONT: what wakes up must not be able to write."""

from __future__ import annotations

import signal
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from random import Random

from tests.chaos.cluster import Cluster
from tests.chaos.evidence import Evidence, Row, collect
from tests.chaos.outcome import Goal, Outcome
from tests.chaos.process_table import LiveRun, exit_status, send
from tests.chaos.workload import Workload
from tests.services.processes import is_running

SETTINGS = {"lease_s": 4.0, "heartbeat_s": 1.0, "control_poll_s": 0.2}
AT_ONCE = 3
LEASE_LOST = 76
WAKING_S = 60.0
POLL_S = 0.15
# Validations start without torch: more duels fit into an hour, and the fence is the same.
QUEUES = ("cpu", "cpu", "cpu", "gpu")


def inject(cluster: Cluster, goal: Goal, random: Random) -> Outcome:
    """Make stale writers, some of each kind of job, and see each of them refused."""
    work, outcome = Workload(cluster), Outcome(0)
    workers = {queue: [cluster.start_worker(queue) for _ in range(min(AT_ONCE, goal.count) + 1)] for queue in ("gpu", "cpu")}
    life_s = {"gpu": work.run_undisturbed(work.distil()), "cpu": work.run_undisturbed(work.validate())}
    seeds = [random.getrandbits(32) for _ in range(goal.count * 2)]
    while not goal.reached(outcome.injected) and seeds:
        batch = [Random(seeds.pop()) for _ in range(min(goal.left(outcome.injected, AT_ONCE), len(seeds)))]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            duels = [pool.submit(_duel, work, draw, life_s, workers) for draw in batch]
        for duel in duels:
            counts, violations = duel.result()
            outcome.counts += counts
            outcome.violations += violations
        outcome.injected = outcome.counts["stale writers"]
    work.wait_until_ended()
    return work.examine(outcome)


def _duel(
    work: Workload, random: Random, life_s: dict[str, float], workers: dict[str, list[subprocess.Popen[bytes]]]
) -> tuple[Counter[str], list[str]]:
    """Stop one run and its worker at a random moment; wake them when another has ended the job."""
    queue = random.choice(QUEUES)
    job_id = work.distil() if queue == "gpu" else work.validate()
    run = _wait_for_run(work, job_id)
    if run is None:
        return Counter({"ended before it was met": 1}), []
    time.sleep(random.uniform(0, 0.9 * life_s[queue]))
    # The supervisor first: it would keep the lease, or end a run that has lost it.
    send(run.parent_pid, signal.SIGSTOP)
    send(run.pid, signal.SIGSTOP)
    try:
        if not is_running(run.pid):
            return Counter({"ended before it was stopped": 1}), []
        work.wait_until_ended([job_id])
        before = _rows(collect(work.cluster.settings), job_id)
        if work.cluster.job(job_id).lease_token == run.token:  # its last write had gone before it was stopped
            return Counter({"ended before it was stopped": 1}), []
        send(run.pid, signal.SIGCONT)
        status = _wait_for_exit(run)
        after = _rows(collect(work.cluster.settings), job_id)
    finally:
        for pid in (run.pid, run.parent_pid):
            send(pid, signal.SIGCONT)
    violations = []
    if before != after:
        violations.append(f"{job_id}: a stale run of token {run.token} changed something")
    if status != LEASE_LOST:
        violations.append(f"{job_id}: a stale run of token {run.token} ended with {status} instead of noticing")
    return Counter({"stale writers": 1, f"stale writers of queue {queue}": 1, "refused": int(not violations)}), violations


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


def _rows(evidence: Evidence, job_id: str) -> list[Row]:
    jobs = [job for job in evidence.jobs if job["id"] == job_id]
    return [*jobs, *(row for table in evidence.by_job for row in evidence.of(table, job_id))]
