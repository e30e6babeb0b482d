"""Dispatch by hand: a tenant with endpoints, events when the test wants them, and a clock that the test turns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from app.datasets.models import Dataset
from app.jobs.endings import fail
from app.jobs.leases import claim as claim_job
from app.jobs.leases import lock_held
from app.webhooks.dispatcher import Dispatcher
from app.webhooks.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from app.webhooks.schemas import SecretRotation, WebhookEndpointCreate, WebhookEndpointUpdate
from app.webhooks.sealing import SecretBox
from app.webhooks.sender import Sender
from app.webhooks.service import create_endpoint, rotate_secret, update_endpoint
from app.webhooks.service import test_endpoint as send_test
from app.webhooks.targets import TargetPolicy
from tests.services.rows import add_dataset, add_job


class Dispatching:
    """A database with one tenant, its endpoint, and dispatchers that all go by one clock."""

    def __init__(self, sessions: sessionmaker[Session], url: str) -> None:
        self.sessions = sessions
        self.box = SecretBox(b"k" * 32)
        # Ahead of the database's own clock, so that what it writes is due; within what receivers tolerate.
        self.now = datetime.now(UTC) + timedelta(minutes=3)
        with sessions.begin() as session:
            dataset = add_dataset(session)
            self.dataset_id, self.tenant_id = dataset.id, dataset.tenant_id
        self.endpoint_id, self.secret = self.add_endpoint(url)
        self.dispatcher = self.another()

    def another(self) -> Dispatcher:
        """Return another dispatcher, as another process would have."""
        sender = Sender(TargetPolicy(allow_private=True))
        return Dispatcher(self.sessions, self.sessions, self.box, sender, clock=lambda _session: self.now)

    def add_endpoint(self, url: str) -> tuple[str, str]:
        with self.sessions.begin() as session:
            row, secret = create_endpoint(session, self.tenant_id, WebhookEndpointCreate(url=url), self.box)
            return row.id, secret

    def update(self, **fields: object) -> None:
        with self.sessions.begin() as session:
            update_endpoint(session, self.tenant_id, self.endpoint_id, WebhookEndpointUpdate.model_validate(fields))

    def rotate(self, overlap_s: int) -> str:
        with self.sessions.begin() as session:
            rotation = SecretRotation(overlap_s=overlap_s)
            return rotate_secret(session, self.tenant_id, self.endpoint_id, rotation, self.box)[1]

    def fail_a_job(self) -> None:
        """Let a job begin and fail, which are two events."""
        with self.sessions.begin() as session:
            job_id = add_job(session, session.get_one(Dataset, self.dataset_id)).id
        with self.sessions.begin() as session:
            lease = claim_job(session, job_id, "tests", lease_s=60, max_runs=3)
            assert lease is not None
            fail(session, lock_held(session, lease), "numerical_failure", "loss is NaN", retryable=False, at=self.now)

    def test(self) -> None:
        with self.sessions.begin() as session:
            send_test(session, self.tenant_id, self.endpoint_id)

    def send_due(self) -> int:
        """Send everything that is due; return how many attempts that were."""
        num_sent = 0
        while claimed := self.dispatcher.claim_due():
            for delivery in claimed:
                self.dispatcher.deliver(delivery)
            num_sent += len(claimed)
        return num_sent

    def turn_clock(self, **by: float) -> None:
        self.now += timedelta(**by)

    @property
    def endpoint(self) -> WebhookEndpoint:
        with self.sessions() as session:
            return session.get_one(WebhookEndpoint, self.endpoint_id)

    @property
    def deliveries(self) -> list[WebhookDelivery]:
        with self.sessions() as session:
            return list(session.scalars(select(WebhookDelivery).order_by(WebhookDelivery.id)))

    @property
    def attempts(self) -> list[WebhookAttempt]:
        with self.sessions() as session:
            return list(session.scalars(select(WebhookAttempt).order_by(WebhookAttempt.at, WebhookAttempt.number)))
