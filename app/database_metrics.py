"""Prometheus metrics that are read from the database at the scrape: the same whichever process answers.

Counters among them are sums over rows; they never fall, because runs are never deleted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import datetime

import structlog
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from app.clock import database_now, elapsed_s
from app.jobs.models import Job, OutboxMessage, Run
from app.jobs.repository import count_jobs
from app.jobs.states import JobStatus, Queue
from app.webhooks.models import DeliveryStatus, WebhookDelivery

KEPT_S = 5.0

logger = structlog.get_logger(__name__)


class DatabaseMetrics:
    """Reads the figures, at most once every few seconds: several scrapers cost as much as one."""

    def __init__(self, reading_sessions: sessionmaker[Session]) -> None:
        self._reading_sessions = reading_sessions
        self._lock = threading.Lock()
        self._read_at = -KEPT_S
        self._metrics: Sequence[Metric] = ()

    def read(self) -> Sequence[Metric]:
        with self._lock:
            if time.monotonic() - self._read_at >= KEPT_S:
                self._metrics = self._read()
                self._read_at = time.monotonic()
            return self._metrics

    def _read(self) -> list[Metric]:
        up = GaugeMetricFamily("farzi_database_up", "Whether the database answered this scrape.")
        try:
            with self._reading_sessions() as session:
                metrics = read_metrics(session)
        except SQLAlchemyError as error:
            logger.warning("the database's metrics cannot be read", exc_info=error)
            metrics = []
        up.add_metric([], bool(metrics))
        return [up, *metrics]


def read_metrics(session: Session) -> list[Metric]:
    """Return every figure as of now."""
    now = database_now(session)
    return [_jobs(session), *_queues(session, now), *_runs(session, now), *_outbox(session, now), _deliveries(session)]


def _jobs(session: Session) -> Metric:
    jobs = GaugeMetricFamily("farzi_jobs", "Jobs by kind and status.", labels=["kind", "status"])
    for (kind, status), count in count_jobs(session).items():
        jobs.add_metric([kind, status], count)
    return jobs


def _queues(session: Session, now: datetime) -> tuple[Metric, Metric]:
    depth = GaugeMetricFamily("farzi_queue_jobs", "Jobs that wait for a worker.", labels=["queue"])
    age = GaugeMetricFamily("farzi_queue_oldest_seconds", "How long the oldest of them has waited.", labels=["queue"])
    waiting = select(Job.queue, func.count(), func.min(Job.updated_at)).where(Job.status == JobStatus.QUEUED)
    found = {queue: (count, oldest) for queue, count, oldest in session.execute(waiting.group_by(Job.queue))}
    for queue in Queue:
        count, oldest = found.get(queue, (0, None))
        depth.add_metric([queue], count)
        age.add_metric([queue], _age_s(oldest, now))
    return depth, age


def _runs(session: Session, now: datetime) -> tuple[Metric, Metric]:
    runs = CounterMetricFamily("farzi_runs", "Runs that ended; lost: their lease ran out.", labels=["queue", "outcome"])
    seconds = CounterMetricFamily("farzi_run_seconds", "Seconds that runs took, those under way included.", labels=["queue"])
    took = func.sum(elapsed_s(session, Run.started_at.expression, func.coalesce(Run.ended_at, now)))
    by_outcome = select(Job.queue, Run.outcome, func.count(), took).join(Job, Job.id == Run.job_id)
    total_s = dict.fromkeys((str(queue) for queue in Queue), 0.0)
    for queue, outcome, count, took_s in session.execute(by_outcome.group_by(Job.queue, Run.outcome)):
        total_s[queue] += float(took_s or 0.0)
        if outcome is not None:
            runs.add_metric([queue, outcome], count)
    for queue, took_s in total_s.items():
        seconds.add_metric([queue], took_s)
    return runs, seconds


def _outbox(session: Session, now: datetime) -> tuple[Metric, Metric]:
    count, oldest = session.execute(
        select(func.count(), func.min(OutboxMessage.created_at)).where(OutboxMessage.created_at <= now)
    ).one()
    return (
        GaugeMetricFamily("farzi_outbox_messages", "Messages that the broker is not told of yet.", value=count),
        GaugeMetricFamily("farzi_outbox_oldest_seconds", "How long the oldest of them has waited.", value=_age_s(oldest, now)),
    )


def _deliveries(session: Session) -> Metric:
    pending = select(func.count()).select_from(WebhookDelivery).where(WebhookDelivery.status == DeliveryStatus.PENDING)
    return GaugeMetricFamily(
        "farzi_webhook_deliveries_pending", "Webhook deliveries that are not done.", value=session.scalar(pending) or 0
    )


def _age_s(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else max(0.0, (now - since).total_seconds())
