"""Celery workers on real Postgres, Redis and S3: jobs reach their queue, and neither a worker nor Redis takes one along."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from sqlalchemy import delete

from app.datasets.models import DatasetStatus
from app.jobs.models import Job, OutboxMessage
from app.jobs.states import JobStatus, RunOutcome
from tests.services.processes import is_running
from tests.services.redis import empty_redis
from tests.worker.running_service import LONG_OUTER_STEPS, RunningService, find_run_process
from tests.worker.test_validation import COLUMNS, GOOD

pytestmark = pytest.mark.service
GPU = ("worker.main", "--queue", "gpu")
CPU = ("worker.main", "--queue", "cpu")


@pytest.fixture
def service(tmp_path: Path, postgres_url: str, redis_url: str, s3_settings: dict[str, str]) -> Iterator[RunningService]:
    service = RunningService(
        data_dir=tmp_path / "data", database_url=postgres_url, broker_url=redis_url, secret_key="s" * 32, **s3_settings
    )
    yield service
    service.close()


def test_each_queue_has_its_worker(service: RunningService, tmp_path: Path) -> None:
    gpu, cpu = service.start(*GPU), service.start(*CPU)
    dataset_id, validation = service.submit_validation(GOOD, tmp_path, columns=COLUMNS)
    service.wait_for_status(validation, JobStatus.SUCCEEDED)
    assert service.dataset(dataset_id).status == DatasetStatus.READY
    job_id = service.submit(dataset_id)
    service.wait_for_status(job_id, JobStatus.SUCCEEDED)
    assert service.runs(job_id) == [RunOutcome.SUCCEEDED]
    assert not (tmp_path / "data" / "objects").exists(), "every object is in the bucket"
    for worker in (gpu, cpu):
        worker.terminate()
    assert [gpu.wait(15), cpu.wait(15)] == [0, 0]


def test_jobs_whose_messages_were_lost_are_found_by_a_worker_that_has_nothing_to_do(
    service: RunningService, tmp_path: Path
) -> None:
    jobs = [service.submit_validation(GOOD, tmp_path, columns=COLUMNS)[1] for _ in range(2)]
    with service.session_factory.begin() as session:
        session.execute(delete(OutboxMessage))
    service.start(*CPU)
    for job_id in jobs:
        service.wait_for_status(job_id, JobStatus.SUCCEEDED, timeout_s=50.0)
        with service.session_factory() as session:
            announced_at = session.get_one(Job, job_id).last_enqueued_at
        assert announced_at is not None
        assert announced_at < service.job(job_id).created_at + timedelta(seconds=1), "nobody announced it again"


def test_a_worker_that_is_told_to_stop_gives_its_job_to_the_next(service: RunningService, tmp_path: Path) -> None:
    job_id = service.submit(service.add_ready_dataset(tmp_path), outer_steps=LONG_OUTER_STEPS)
    first = service.start(*GPU)
    service.wait_for_checkpoint(job_id)
    first.terminate()
    assert first.wait(30) == 0
    released = service.job(job_id)
    assert (released.status, released.num_lost_runs) == (JobStatus.QUEUED, 0)
    service.start(*GPU)
    service.wait_for_status(job_id, JobStatus.SUCCEEDED)
    assert service.runs(job_id) == [RunOutcome.RELEASED, RunOutcome.SUCCEEDED]


def test_a_killed_worker_and_an_emptied_redis_lose_no_job(service: RunningService, tmp_path: Path, redis_url: str) -> None:
    dataset_id = service.add_ready_dataset(tmp_path)
    job_id = service.submit(dataset_id, outer_steps=LONG_OUTER_STEPS)
    first = service.start(*GPU)
    service.wait_for_checkpoint(job_id)
    run = find_run_process(job_id)
    waiting_id = service.submit(dataset_id)
    with redis.Redis.from_url(redis_url) as client:
        service.wait_until(lambda: client.llen("gpu") == 1, "the second job's message")
    first.kill()
    first.wait()
    service.wait_until(lambda: not is_running(run), "the run is gone")
    empty_redis(redis_url)
    with service.session_factory.begin() as session:  # as if a minute had gone by
        waiting = session.get_one(Job, waiting_id)
        assert waiting.last_enqueued_at is not None
        waiting.last_enqueued_at -= timedelta(seconds=60)
    service.start(*GPU)
    service.wait_for_status(job_id, JobStatus.SUCCEEDED)
    service.wait_for_status(waiting_id, JobStatus.SUCCEEDED)
    assert service.runs(job_id) == [RunOutcome.LOST, RunOutcome.SUCCEEDED]
    assert service.runs(waiting_id) == [RunOutcome.SUCCEEDED]
