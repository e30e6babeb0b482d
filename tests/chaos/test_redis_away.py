"""A worker whose job ends while Redis is away listens again once it is back, without a restart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.jobs.states import JobStatus, RunOutcome
from tests.chaos.cluster import Cluster, Parts
from tests.chaos.servers import RestartableRedis
from tests.worker.test_validation import COLUMNS, GOOD

pytestmark = pytest.mark.service
NOTICED = b"Cannot connect to redis"


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RestartableRedis]:
    redis = RestartableRedis(tmp_path)
    yield redis
    redis.kill()


@pytest.fixture
def cluster(tmp_path: Path, postgres_url: str, redis: RestartableRedis) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path, Parts({"database_url": postgres_url, "broker_url": redis.url}))
    yield cluster
    cluster.close()


def test_a_worker_whose_job_ends_while_redis_is_away_takes_the_next_one(
    cluster: Cluster, redis: RestartableRedis, tmp_path: Path
) -> None:
    cluster.start_worker("cpu")
    _, first = cluster.submit_validation(GOOD, tmp_path, columns=COLUMNS)
    cluster.wait_until(lambda: cluster.job(first).started_at is not None, "a run", job_id=first)
    redis.kill()
    cluster.wait_for_status(first, JobStatus.SUCCEEDED)
    cluster.wait_until(lambda: NOTICED in cluster.log_path.read_bytes(), "the worker looks for Redis", timeout_s=60.0)
    redis.start()
    _, second = cluster.submit_validation(GOOD, tmp_path, columns=COLUMNS)
    cluster.wait_for_status(second, JobStatus.SUCCEEDED)
    assert b"Couldn't ack" not in cluster.log_path.read_bytes(), "a message was acknowledged after all"
    assert cluster.runs(first) == cluster.runs(second) == [RunOutcome.SUCCEEDED]
