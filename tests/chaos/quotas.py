"""What the service counts against a tenant's quotas, beside the same sums made from rows and from the bytes that lie there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from app.clock import database_now
from app.db import make_engine, make_reading_session_factory
from app.settings import Settings
from app.tenants import usage
from tests.chaos.evidence import Evidence, ObjectReader, Row

ACTIVE = {"queued", "running", "cancelling", "paused"}
UNDER_WAY = {"open", "completing"}
QUEUES = ("gpu", "cpu")
# Of a sum of seconds that a database and Python add up in different orders.
ROUNDING_S = 0.01

Sums = dict[str, float]


def find_differences(settings: Settings, evidence: Evidence, objects: ObjectReader) -> Iterator[str]:
    """Yield a sentence for each sum of a tenant that is not what it should be."""
    tenants = sorted({row["tenant_id"] for table in ("jobs", "datasets") for row in evidence.tables[table]})
    now, counted = _count(settings, tenants)
    for tenant_id in tenants:
        for name, value in _recompute(evidence, objects, tenant_id, now).items():
            said = counted[tenant_id][name]
            if abs(said - value) > (ROUNDING_S if name.endswith("seconds") else 0):
                yield f"{tenant_id}: {said} {name} are counted, and there are {value}"


def _count(settings: Settings, tenants: Iterable[str]) -> tuple[datetime, dict[str, Sums]]:
    """Return the database's time and what the service counts at it; no object is read meanwhile, which may take long."""
    engine = make_engine(settings)
    with make_reading_session_factory(engine)() as session:
        now = database_now(session)
        counted: dict[str, Sums] = {
            tenant_id: {
                "stored bytes": usage.count_stored_bytes(session, tenant_id),
                "reserved bytes": usage.count_reserved_bytes(session, tenant_id),
                "data sets": usage.count_datasets(session, tenant_id),
                "active jobs": usage.count_active_jobs(session, tenant_id),
                **{f"{queue} seconds": usage.sum_month_seconds(session, tenant_id, queue, now) for queue in QUEUES},
            }
            for tenant_id in tenants
        }
    engine.dispose()
    return now, counted


def _recompute(evidence: Evidence, objects: ObjectReader, tenant_id: str, now: datetime) -> Sums:
    def mine(table: str) -> list[Row]:
        return [row for row in evidence.tables[table] if row["tenant_id"] == tenant_id]

    jobs, data_sets = mine("jobs"), [row for row in mine("datasets") if row["deleted_at"] is None]
    kept = [job["id"] for job in jobs if job["deleted_at"] is None]
    keys = [artifact["object_key"] for job_id in kept for artifact in evidence.of("artifacts", job_id)]
    keys += [row["content_key"] for row in data_sets if row["content_key"] is not None]
    active = [job for job in jobs if job["status"] in ACTIVE]
    return {
        "stored bytes": sum(objects.size(key) for key in keys)
        + sum(upload["size_bytes"] for upload in mine("uploads") if upload["status"] in UNDER_WAY),
        "reserved bytes": sum(job["reserved_bytes"] for job in active),
        "data sets": len(data_sets),
        "active jobs": sum(job["kind"] != "validation" for job in active),
        **{
            f"{queue} seconds": sum(
                _seconds(run, now) for job in jobs if job["queue"] == queue for run in evidence.of("runs", job["id"])
            )
            for queue in QUEUES
        },
    }


def _seconds(run: Row, now: datetime) -> float:
    """Return what of the run's time falls into this month."""
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    started: datetime = max(run["started_at"], month)
    ended: datetime = run["ended_at"] or now
    return max((ended - started).total_seconds(), 0.0)
