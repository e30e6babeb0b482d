"""The same message delivered several times to many workers: each job runs once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random

from app.jobs.states import Queue
from app.queue import make_celery, make_sender
from tests.chaos.cluster import SHIPPED_TIMES, Cluster
from tests.chaos.evidence import Evidence, collect
from tests.chaos.outcome import Goal, Outcome
from tests.chaos.workload import Workload

# On a busy machine a short lease runs out, and the job has a second run for a good reason.
SETTINGS = SHIPPED_TIMES
NUM_WORKERS = 8
JOBS_AT_ONCE = 25
COPIES = range(2, 11)


def inject(cluster: Cluster, goal: Goal, random: Random) -> Outcome:
    """Send the messages of jobs two to ten times each, in random order, beside what the service itself sends."""
    for _ in range(min(NUM_WORKERS, 2 * goal.count)):
        cluster.start_worker("cpu")
    work, outcome = Workload(cluster), Outcome(0)
    while not goal.reached(outcome.injected):
        jobs = [work.validate() for _ in range(goal.left(outcome.injected, JOBS_AT_ONCE))]
        outcome.counts["messages"] += storm(cluster, jobs, random)
        work.wait_until_ended(jobs)
        outcome.injected += len(jobs)
    outcome.violations += not_run_once(collect(cluster.settings), work.accepted)
    return work.examine(outcome)


def storm(cluster: Cluster, jobs: list[str], random: Random) -> int:
    """Send the message of each job as often as chance has it; return how many were sent."""
    assert cluster.settings.broker_url is not None
    celery = make_celery(cluster.settings.broker_url)
    send = make_sender(celery)
    messages = [job_id for job_id in jobs for _ in range(random.choice(COPIES))]
    random.shuffle(messages)
    for job_id in messages:
        send(job_id, Queue.CPU)
    celery.close()
    return len(messages)


def not_run_once(evidence: Evidence, jobs: Iterable[str]) -> Iterator[str]:
    """Yield a sentence for each job that had no run, or more than one."""
    for job_id in jobs:
        if (num_runs := len(evidence.of("runs", job_id))) != 1:
            yield f"{job_id}: {num_runs} runs"
