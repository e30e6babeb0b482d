"""``/v1/usage`` and ``/v1/audit-events``: what a tenant uses, and what was done with its keys and limits."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from app.clock import database_now
from app.dependencies import Admin, AuthenticatedRoute, InServices, JobReader
from app.pagination import PageQuery, make_page
from app.schemas import Page
from app.tenants import audit, usage
from app.tenants.schemas import AuditEventOut, QuotasOut, UsageOut

router = APIRouter(prefix="/v1", tags=["Account"], route_class=AuthenticatedRoute)


@router.get("/usage")
def get_usage(caller: JobReader, services: InServices) -> UsageOut:
    """Return what the tenant stores and runs, and its limits."""
    with services.reading_sessions() as session:
        now = database_now(session)
        seconds = usage.split_run_seconds(session, caller.tenant_id, now)
        return UsageOut(
            stored_bytes=usage.count_stored_bytes(session, caller.tenant_id),
            reserved_bytes=usage.count_reserved_bytes(session, caller.tenant_id),
            datasets=usage.count_datasets(session, caller.tenant_id),
            active_jobs=usage.count_active_jobs(session, caller.tenant_id),
            jobs_by_status=usage.count_jobs_by_status(session, caller.tenant_id),
            run_seconds_by_day=seconds.by_day,
            run_seconds_by_month=seconds.by_month,
            limits=QuotasOut.model_validate(services.quotas.limits_of(session, caller.tenant_id)),
            at=now,
        )


@router.get("/audit-events")
def list_audit_events(page: Annotated[PageQuery, Query()], caller: Admin, services: InServices) -> Page[AuditEventOut]:
    """List administrative acts, newest first: keys made and revoked, quotas and webhook endpoints changed."""
    with services.reading_sessions() as session:
        rows, has_more = audit.list_events(session, caller.tenant_id, page)
    return make_page(rows, has_more, AuditEventOut.of, lambda row: row.id)
