"""A checkpoint that was truncated, lost bits, or is gone: the run goes on from the one before, and the result is the same."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

from app.jobs.states import JobStatus, StopRequest
from tests.chaos.cluster import Cluster
from tests.chaos.outcome import Goal, Outcome
from tests.chaos.workload import Workload

SETTINGS = {"checkpoint_interval_s": 0.3}
OUTER_STEPS = 120
AT_ONCE = 2


def inject(cluster: Cluster, goal: Goal, random: Random) -> Outcome:
    """Pause jobs once they have two checkpoints, damage the newest or both, and let them go on."""
    for _ in range(min(AT_ONCE, goal.count)):
        cluster.start_worker("gpu")
    work, outcome = Workload(cluster, outer_steps=OUTER_STEPS), Outcome(0)
    work.run_undisturbed(work.distil())
    while not goal.reached(outcome.injected):
        jobs = [work.distil() for _ in range(goal.left(outcome.injected, AT_ONCE))]
        for job_id in jobs:
            cluster.wait_until(partial(_has_two, cluster, job_id), "two checkpoints")
            cluster.ask(job_id, StopRequest.PAUSE)
        for job_id in jobs:
            cluster.wait_until(partial(_is_not_running, cluster, job_id), "a pause")
            if cluster.job(job_id).status == JobStatus.PAUSED:
                _damage(cluster, job_id, random, outcome)
                cluster.resume(job_id)
        work.wait_until_ended(jobs)
    skipped = sum(cluster.event_types(job_id).count("checkpoint.skipped") for job_id in work.accepted)
    outcome.counts["checkpoints skipped"] = skipped
    return work.examine(outcome)


def _has_two(cluster: Cluster, job_id: str) -> bool:
    job = cluster.job(job_id)
    return job.previous_checkpoint_key is not None or job.status == JobStatus.SUCCEEDED


def _is_not_running(cluster: Cluster, job_id: str) -> bool:
    return cluster.job(job_id).status != JobStatus.RUNNING


def _damage(cluster: Cluster, job_id: str, random: Random, outcome: Outcome) -> None:
    job = cluster.job(job_id)
    keys = [job.checkpoint_key, job.previous_checkpoint_key]
    name, damage = random.choice(list(DAMAGES.items()))
    both = random.random() < 0.2
    for key in keys if both else keys[:1]:
        assert key is not None
        path = cluster.directory / "damaged"
        cluster.store.fetch_file(key, path)
        content = damage(path.read_bytes(), random)
        if content is None:
            cluster.store.delete(key)
        else:
            path.write_bytes(content)
            cluster.store.put_file(key, path)
    outcome.injected += 1
    outcome.counts[f"{name}, {'both' if both else 'the newest'}"] += 1


def _truncate(content: bytes, random: Random) -> bytes | None:
    return content[: random.randrange(len(content))]


def _flip_bit(content: bytes, random: Random) -> bytes | None:
    changed = bytearray(content)
    changed[random.randrange(len(content))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _remove(_content: bytes, _random: Random) -> bytes | None:
    return None


DAMAGES: dict[str, Callable[[bytes, Random], bytes | None]] = {
    "truncated": _truncate,
    "bit flipped": _flip_bit,
    "removed": _remove,
}
