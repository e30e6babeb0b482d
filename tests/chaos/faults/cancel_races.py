"""Cancel as a job is about to finish: it is cancelled without a result, or succeeded with one, as the answer said."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from random import Random

from tests.chaos.cluster import Cluster
from tests.chaos.insistent_client import ENDED, InsistentClient
from tests.chaos.outcome import Goal, Outcome
from tests.chaos.workload import Workload

NUM_WORKERS = 3
LAST_PHASE = "artifacts"
POLL_S = 0.06


def inject(cluster: Cluster, goal: Goal, random: Random) -> Outcome:
    """Cancel jobs over HTTP, each at a random moment from the beginning of its last phase on."""
    for _ in range(min(NUM_WORKERS, goal.count)):
        cluster.start_worker("gpu")
    cluster.start_worker("cpu")
    cluster.start_server()
    cluster.wait_until_ready()
    client, work = InsistentClient(cluster), Workload(cluster)
    dataset_id = client.upload("cancel-races")
    reference = client.submit(dataset_id, "undisturbed")
    types = client.follow(reference)
    assert types[-1] == "job.succeeded", types
    last_s = _last_phase_s(cluster, reference)
    draws = [(number, random.uniform(0, 1.2 * last_s)) for number in range(goal.count)]
    outcome = Outcome(0)
    with ThreadPoolExecutor(NUM_WORKERS) as pool:
        for counts in pool.map(lambda draw: None if goal.reached(0) else _race(cluster, client, dataset_id, *draw), draws):
            if counts is not None:
                outcome.counts += counts
                outcome.injected += 1
    client.close()
    outcome.violations += client.violations
    work.accepted += [job_id for ids in client.answers.values() for job_id in ids]
    return work.examine(outcome, answers=client.answers, reference=None)


def _race(cluster: Cluster, client: InsistentClient, dataset_id: str, number: int, delay_s: float) -> Counter[str]:
    job_id = client.submit(dataset_id, f"race-{number}")
    while (job := cluster.job(job_id)).phase != LAST_PHASE and job.status not in ENDED:
        time.sleep(POLL_S)
    time.sleep(delay_s)
    answer = client.insist("POST", f"/v1/jobs/{job_id}/cancel")
    promised = answer.json()["status"] if answer.status_code == 200 else "refused"
    status = client.wait_for_end(job_id)["status"]
    allowed = {"cancelling": {"cancelled", "succeeded"}, "cancelled": {"cancelled"}, "refused": {"succeeded"}}
    if status not in allowed.get(promised, set()):
        client.violate(f"{job_id}: cancel was answered {promised}, and the job {status}")
    return Counter({f"cancel answered {promised}, then {status}": 1})


def _last_phase_s(cluster: Cluster, job_id: str) -> float:
    events = cluster.events(job_id)
    began = next(event.at for event in events if event.data.get("phase") == LAST_PHASE)
    return (events[-1].at - began).total_seconds()
