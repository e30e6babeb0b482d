"""Eight workers and the jobs of four tenants, most of them of one: each gets its share, none waits for another's queue.

Every message is sent several times over, as by ``message_storms``: who is sent more messages must not get more turns.
"""

from __future__ import annotations

from collections import Counter
from random import Random

from sqlalchemy import update

from app.datasets.models import Dataset
from app.jobs.models import Job
from tests.chaos.cluster import Cluster
from tests.chaos.evidence import Evidence, collect
from tests.chaos.faults.message_storms import not_run_once, storm
from tests.chaos.outcome import Goal, Outcome
from tests.chaos.workload import Workload
from tests.services.rows import add_tenant

NUM_WORKERS = 8
SHARES = (0.73, 0.18, 0.07, 0.02)


def inject(cluster: Cluster, goal: Goal, random: Random) -> Outcome:
    """Queue the jobs of all tenants, the largest tenant's first, and only then start the workers."""
    work = Workload(cluster)
    with cluster.session_factory.begin() as session:
        tenants = [add_tenant(session).id for _ in SHARES]
    owners = [tenant for tenant, share in zip(tenants, SHARES, strict=True) for _ in range(round(share * goal.count))]
    for tenant_id in owners:
        _give(cluster, work.validate(), tenant_id)
    num_messages = storm(cluster, work.accepted, random)
    for _ in range(NUM_WORKERS):
        cluster.start_worker("cpu")
    work.wait_until_ended()
    evidence = collect(cluster.settings)
    outcome = Outcome(len(owners), Counter(messages=num_messages), violations=list(not_run_once(evidence, work.accepted)))
    last = _last_starts(evidence, dict(zip(work.accepted, owners, strict=True)))
    for tenant_id in tenants:
        num_jobs = owners.count(tenant_id)
        # With equal turns, this is where the last of its jobs begins; chance and eight workers may add a few turns.
        fair = sum(min(owners.count(other), num_jobs) for other in tenants)
        slack = len(tenants) * NUM_WORKERS + fair // 4
        outcome.counts[f"last start of the tenant with {num_jobs} jobs (fair: {fair})"] = last[tenant_id]
        if last[tenant_id] > fair + slack:
            outcome.violations.append(f"a tenant with {num_jobs} jobs had its last start at {last[tenant_id]}, not near {fair}")
    return work.examine(outcome)


def _give(cluster: Cluster, job_id: str, tenant_id: str) -> None:
    with cluster.session_factory.begin() as session:
        session.execute(update(Job).where(Job.id == job_id).values(tenant_id=tenant_id))
        dataset_id = session.get_one(Job, job_id).dataset_id
        session.execute(update(Dataset).where(Dataset.id == dataset_id).values(tenant_id=tenant_id))


def _last_starts(evidence: Evidence, owners: dict[str, str]) -> dict[str, int]:
    """Return how many jobs had begun when each tenant's last one did."""
    starts = sorted((run["started_at"], owners[run["job_id"]]) for run in evidence.tables["runs"] if run["job_id"] in owners)
    return {owner: position for position, (_, owner) in enumerate(starts, start=1)}
