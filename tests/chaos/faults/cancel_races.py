"""Cancel as a job is about to finish: it is cancelled without a result, or succeeded with one, as the answer said."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from random import Random

from app.jobs.states import StopRequest
from tests.chaos.cluster import Cluster
from tests.chaos.insistent_client import ENDED, InsistentClient
from tests.chaos.outcome import Goal, Outcome
from tests.chaos.workload import Workload

NUM_WORKERS = 3
LAST_PHASE = "artifacts"
POLL_S = 0.06
# Validations have no torch to load: most races are theirs. The API does not show them, so they are asked at their rows.
VALIDATIONS_OF_TEN = 9
EARLY, LATE = 0.2, 1.1


def inject(cluster: Cluster, goal: Goal, random: Random) -> Outcome:
    """Cancel jobs near their ends: distillations over HTTP, in their last phase, and validations anywhere in their lives."""
    for queue in ("gpu", "cpu"):
        for _ in range(min(NUM_WORKERS, goal.count)):
            cluster.start_worker(queue)
    cluster.start_ready_server()
    client, work = InsistentClient(cluster), Workload(cluster)
    dataset_id = client.upload("cancel-races")
    reference = client.submit(dataset_id, "undisturbed")
    types = client.follow(reference)
    assert types[-1] == "job.succeeded", types
    last_s = _last_phase_s(cluster, reference)
    whole_s = _Recent(work.run_undisturbed(work.validate()))

    def race(number: int, chances: Random) -> Counter[str] | None:
        if goal.reached(0):
            return None
        if number % 10 < VALIDATIONS_OF_TEN:
            return _race_validation(cluster, client, work, whole_s, chances)
        return _race(cluster, client, dataset_id, number, chances.uniform(0, 1.2 * last_s))

    outcome = Outcome(0)
    seed = random.getrandbits(32)
    with ThreadPoolExecutor(2 * NUM_WORKERS) as pool:
        for counts in pool.map(lambda number: race(number, Random(seed + number)), range(goal.count)):
            if counts is not None:
                outcome.counts += counts
                outcome.injected += 1
    client.close()
    outcome.violations += client.violations
    work.accepted += [job_id for ids in client.answers.values() for job_id in ids]
    # A data set whose validation was cancelled stays as it was, and its job has no result: both are looked at by the checker.
    return work.examine(outcome, answers=client.answers, reference=None)


class _Recent:
    """How long runs have taken lately, by which the moments of the next are drawn."""

    def __init__(self, first_s: float) -> None:
        self.value_s = first_s

    def note(self, seconds: float) -> None:
        self.value_s = 0.8 * self.value_s + 0.2 * seconds


def _race(cluster: Cluster, client: InsistentClient, dataset_id: str, number: int, delay_s: float) -> Counter[str]:
    job_id = client.submit(dataset_id, f"race-{number}")
    while (job := cluster.job(job_id)).phase != LAST_PHASE and job.status not in ENDED:
        time.sleep(POLL_S)
    time.sleep(delay_s)
    answer = client.insist("POST", f"/v1/jobs/{job_id}/cancel")
    promised = answer.json()["status"] if answer.status_code == 200 else "refused"
    status = client.wait_for_end(job_id)["status"]
    return _judge(client, "a distillation", job_id, promised, status)


def _race_validation(
    cluster: Cluster, client: InsistentClient, work: Workload, whole_s: _Recent, chances: Random
) -> Counter[str]:
    job_id = work.validate()
    while (job := cluster.job(job_id)).started_at is None:
        time.sleep(POLL_S)
    began = time.monotonic()
    time.sleep(chances.uniform(EARLY, LATE) * whole_s.value_s)
    promised = "cancelling" if cluster.ask(job_id, StopRequest.CANCEL) else "refused"
    work.wait_until_ended([job_id])
    job = cluster.job(job_id)
    if job.status == "succeeded":
        whole_s.note(time.monotonic() - began)
    verdict = cluster.dataset(job.dataset_id).status
    if (job.status == "succeeded") != (verdict == "ready"):
        client.violate(f"{job_id}: its validation {job.status}, and its data set is {verdict}")
    return _judge(client, "a validation", job_id, promised, job.status)


def _judge(client: InsistentClient, kind: str, job_id: str, promised: str, status: str) -> Counter[str]:
    allowed = {"cancelling": {"cancelled", "succeeded"}, "cancelled": {"cancelled"}, "refused": {"succeeded"}}
    if status not in allowed.get(promised, set()):
        client.violate(f"{job_id}: cancel was answered {promised}, and the job {status}")
    return Counter({f"cancel of {kind} answered {promised}, then {status}": 1})


def _last_phase_s(cluster: Cluster, job_id: str) -> float:
    events = cluster.events(job_id)
    began = next(event.at for event in events if event.data.get("phase") == LAST_PHASE)
    return (events[-1].at - began).total_seconds()
