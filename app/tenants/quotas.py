"""Quotas: what a tenant may use. They are checked in the transaction that would use more, under the tenant's row lock."""

from __future__ import annotations

from dataclasses import dataclass, fields

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.clock import database_now
from app.errors import ServiceError
from app.jobs.states import Queue
from app.settings import Settings
from app.tenants.models import Tenant
from app.tenants.usage import (
    count_active_jobs,
    count_datasets,
    count_reserved_bytes,
    count_stored_bytes,
    sum_month_seconds,
)

REMEDIES = {
    "stored_bytes": "delete data sets or jobs that are not needed, or ask the operator for a higher quota",
    "datasets": "delete data sets that are not needed, or ask the operator for a higher quota",
    "active_jobs": "wait for jobs to end, or cancel some",
    "gpu_seconds_per_month": "wait for the next month (UTC), or ask the operator for a higher quota",
    "cpu_seconds_per_month": "wait for the next month (UTC), or ask the operator for a higher quota",
}
SECONDS_OF_QUEUE = {Queue.GPU: "gpu_seconds_per_month", Queue.CPU: "cpu_seconds_per_month"}


@dataclass(frozen=True)
class Quotas:
    """Limits of one tenant; None is no limit."""

    stored_bytes: int | None
    datasets: int | None
    active_jobs: int | None
    gpu_seconds_per_month: int | None
    cpu_seconds_per_month: int | None


QUOTA_NAMES = tuple(item.name for item in fields(Quotas))


class QuotaGuard:
    """Knows the limits of every tenant: its row's, and where that has none the settings'."""

    def __init__(self, settings: Settings) -> None:
        self._defaults = Quotas(**{name: getattr(settings, f"quota_{name}") for name in QUOTA_NAMES})

    def limits_of(self, session: Session, tenant_id: str, *, lock: bool = False) -> Quotas:
        """Return the limits; with ``lock``, everybody else who asks so for the same tenant waits for this transaction."""
        query = select(Tenant).where(Tenant.id == tenant_id)
        # FOR NO KEY UPDATE: rows that name the tenant by foreign key can still be written meanwhile.
        query = query.with_for_update(key_share=True) if lock else query
        tenant = session.scalars(query.execution_options(populate_existing=True)).one()
        own = {name: getattr(tenant, f"quota_{name}") for name in QUOTA_NAMES}
        return Quotas(**{name: getattr(self._defaults, name) if value is None else value for name, value in own.items()})

    def require_dataset(self, session: Session, tenant_id: str) -> None:
        """Raise quota_exceeded unless one more data set may be declared in this transaction."""
        limit = self._limits_to_keep(session, tenant_id, "datasets").datasets
        if limit is not None:
            _require("datasets", count_datasets(session, tenant_id), 1, limit)

    def require_bytes(self, session: Session, tenant_id: str, size_bytes: int) -> None:
        """Raise quota_exceeded unless ``size_bytes`` more may be stored, or reserved, in this transaction."""
        limit = self._limits_to_keep(session, tenant_id, "stored_bytes").stored_bytes
        if limit is not None:
            reserved = count_reserved_bytes(session, tenant_id)
            _require("stored_bytes", count_stored_bytes(session, tenant_id) + reserved, size_bytes, limit, reserved)

    def require_job(self, session: Session, tenant_id: str, queue: Queue) -> None:
        """Raise quota_exceeded unless one more job may wait for ``queue`` in this transaction."""
        limits = self._limits_to_keep(session, tenant_id, "active_jobs", "stored_bytes", SECONDS_OF_QUEUE[queue])
        if limits.active_jobs is not None:
            _require("active_jobs", count_active_jobs(session, tenant_id), 1, limits.active_jobs)
        exceeded = self._first_exceeded(session, tenant_id, limits, queue, seconds=0.0, output_bytes=0)
        if exceeded is not None:
            raise exceeded

    def would_exceed_quota(self, session: Session, tenant_id: str, queue: Queue, *, seconds: float, output_bytes: int) -> bool:
        """Whether a job that takes ``seconds`` and publishes ``output_bytes`` would be refused now or end above a quota."""
        limits = self.limits_of(session, tenant_id)
        active = limits.active_jobs
        if active is not None and count_active_jobs(session, tenant_id) >= active:
            return True
        return self._first_exceeded(session, tenant_id, limits, queue, seconds=seconds, output_bytes=output_bytes) is not None

    def _limits_to_keep(self, session: Session, tenant_id: str, *names: str) -> Quotas:
        """Lock the tenant if any of these quotas is limited: where none is, its requests need not wait for each other."""
        limits = self.limits_of(session, tenant_id)
        if all(getattr(limits, name) is None for name in names):
            return limits
        return self.limits_of(session, tenant_id, lock=True)

    def _first_exceeded(
        self, session: Session, tenant_id: str, limits: Quotas, queue: Queue, *, seconds: float, output_bytes: int
    ) -> ServiceError | None:
        name = SECONDS_OF_QUEUE[queue]
        limit_s = getattr(limits, name)
        if limit_s is not None:
            used_s = sum_month_seconds(session, tenant_id, queue, database_now(session))
            if used_s >= limit_s or used_s + seconds > limit_s:
                return _exceeded(name, round(used_s, 1), limit_s)
        if limits.stored_bytes is not None:
            reserved = count_reserved_bytes(session, tenant_id)
            used = count_stored_bytes(session, tenant_id) + reserved
            if used > limits.stored_bytes or used + output_bytes > limits.stored_bytes:
                return _exceeded("stored_bytes", used, limits.stored_bytes, reserved=reserved)
        return None


def _require(name: str, used: int, wanted: int, limit: int, reserved: int = 0) -> None:
    if used + wanted > limit:
        raise _exceeded(name, used, limit, wanted, reserved=reserved)


def _exceeded(name: str, used: float, limit: int, wanted: int | None = None, *, reserved: int = 0) -> ServiceError:
    """Return the refusal; ``reserved`` of what is used is for results of jobs that are not over."""
    kept = f", {reserved} of them reserved for results of jobs that are not over" if reserved else ""
    more = "" if wanted is None else f", and this needs {wanted} more"
    return ServiceError(
        "quota_exceeded",
        f"The quota {name} allows {limit}; {used} are used{kept}{more}: {REMEDIES[name]}.",
        members={"quota": {"name": name, "limit": limit, "used": used}},
    )
