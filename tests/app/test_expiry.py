"""What time makes worthless goes, and nothing else."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy.orm import Session, sessionmaker

from app.clock import database_now
from app.expiry import IDEMPOTENCY_KEPT_FOR, delete_old_idempotency_records, delete_old_job_records
from app.jobs.models import IdempotencyRecord, Job, JobEvent, JobMetric
from tests.services.rows import add_job, add_tenant


def test_answers_to_old_posts(session_factory: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.expiry.ANSWERS_OF_ONE_ROUND", 1)
    with session_factory.begin() as session:
        now, tenant = database_now(session), add_tenant(session)
        past = IDEMPOTENCY_KEPT_FOR + timedelta(minutes=1)
        for key, age in (("old", past), ("older", 2 * past), ("new", timedelta(hours=23))):
            answer = {"response_status": 202, "response_headers": {}, "response_body": "{}"}
            session.add(IdempotencyRecord(tenant_id=tenant.id, key=key, fingerprint="f", created_at=now - age, **answer))
    for num_deleted in (1, 1, 0):
        with session_factory.begin() as session:
            assert delete_old_idempotency_records(session) == num_deleted
    with session_factory() as session:
        assert [record.key for record in session.query(IdempotencyRecord)] == ["new"]


def test_details_of_old_jobs(session_factory: sessionmaker[Session]) -> None:
    ids = {}
    with session_factory.begin() as session:
        now = database_now(session)
        for name, status, days in (("old", "succeeded", 31), ("young", "failed", 29), ("alive", "running", None)):
            ended_at = None if days is None else now - timedelta(days=days)
            job = add_job(session, status=status, ended_at=ended_at, lease_expires_at=now if days is None else None)
            session.add(JobMetric(job_id=job.id, name="loss", step=1, value=1.0, at=now))
            ids[name] = job.id
    with session_factory.begin() as session:
        assert delete_old_job_records(session, 30) == 1
    with session_factory.begin() as session:
        assert delete_old_job_records(session, 30) == 0
        left = {ids["young"], ids["alive"]}
        assert {event.job_id for event in session.query(JobEvent)} == left
        assert {metric.job_id for metric in session.query(JobMetric)} == left
        assert session.query(Job).count() == 3
