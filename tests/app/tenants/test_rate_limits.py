"""Rate limits: one bucket a tenant, the same by one process and by Redis, open when Redis is away."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from starlette.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from app.tenants.rate_limits import Bucket, LocalRateLimiter, RedisRateLimiter, make_rate_limiter
from tests.app.driving import ADMIN, ADMIN_KEY, add_tenant_with_key, code_of

BUCKET = Bucket(interval_us=100_000, burst=5)


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_then_one_each_interval() -> None:
    clock = Clock()
    limiter = LocalRateLimiter(BUCKET, clock)
    assert [limiter.take("a").remaining for _ in range(5)] == [4, 3, 2, 1, 0]
    refused = limiter.take("a")
    assert (refused.retry_after_s, refused.remaining, refused.reset_s) == (1, 0, 1)
    assert limiter.take("b").remaining == 4
    clock.now += 0.1
    assert limiter.take("a").retry_after_s is None
    assert limiter.take("a").retry_after_s == 1
    clock.now += 60
    assert limiter.take("a").remaining == 4


def test_buckets_of_tenants_that_went_away_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.tenants.rate_limits.KEPT_BUCKETS", 10)
    clock = Clock()
    limiter = LocalRateLimiter(BUCKET, clock)
    for number in range(50):
        limiter.take(str(number))
        clock.now += 1
    assert len(limiter._full_at) <= 11


@pytest.fixture
def broker(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.mark.service
def test_redis_answers_as_one_process_does(broker: redis.Redis) -> None:
    slow = Bucket(interval_us=3_600_000_000, burst=5)
    shared, local = RedisRateLimiter(slow, broker, lambda: None), LocalRateLimiter(slow)
    for _ in range(7):
        assert shared.take("a") == local.take("a")
    assert shared.take("b") == local.take("b")
    ttl_ms = broker.pttl("farzi:rate:a")
    assert 4 * 3_600_000 < ttl_ms <= 5 * 3_600_000


@pytest.mark.service
def test_redis_refills(broker: redis.Redis) -> None:
    limiter = RedisRateLimiter(Bucket(interval_us=50_000, burst=1), broker, lambda: None)
    first, second = limiter.take("a"), limiter.take("a")
    assert first is not None
    assert second is not None
    assert (first.retry_after_s, second.retry_after_s) == (None, 1)
    time.sleep(0.06)
    third = limiter.take("a")
    assert third is not None
    assert third.retry_after_s is None


@pytest.mark.service
def test_threads_share_the_bucket(broker: redis.Redis) -> None:
    limiter = RedisRateLimiter(Bucket(interval_us=3_600_000_000, burst=20), broker, lambda: None)
    passed: list[bool] = []

    def take() -> None:
        for _ in range(10):
            allowance = limiter.take("a")
            assert allowance is not None
            passed.append(allowance.retry_after_s is None)

    threads = [threading.Thread(target=take) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(passed), sum(passed)) == (50, 20)


def test_without_redis_requests_pass_and_are_counted() -> None:
    failures: list[int] = []
    client = redis.Redis.from_url("redis://127.0.0.1:9/0", socket_connect_timeout=0.2)
    limiter = RedisRateLimiter(BUCKET, client, lambda: failures.append(1))
    assert [limiter.take("a") for _ in range(3)] == [None] * 3
    assert len(failures) == 3
    limiter.close()


def test_zero_is_no_limit() -> None:
    assert make_rate_limiter(Settings(rate_limit_per_s=0), lambda: None) is None


@pytest.fixture(params=["embedded", pytest.param("servers", marks=pytest.mark.service)])
def limited(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of a service that takes three requests an hour."""
    fields: dict[str, object] = {"data_dir": tmp_path, "bootstrap_api_key": ADMIN_KEY}
    if request.param == "servers":
        fields |= {"database_url": request.getfixturevalue("postgres_url"), "secret_key": "x" * 32}
        fields |= {"broker_url": request.getfixturevalue("redis_url")}
    return Settings.model_validate(fields | {"rate_limit_per_s": 1 / 1200, "rate_limit_burst": 3})


def test_over_http(limited: Settings) -> None:
    application = create_app(limited)
    with TestClient(application) as client:
        other = {"Authorization": f"Bearer {add_tenant_with_key(application.state.services)}"}
        answers = [client.get("/v1/jobs", headers=ADMIN) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert [answer.headers["ratelimit-remaining"] for answer in answers] == ["2", "1", "0", "0"]
        refused = answers[-1]
        assert code_of(refused, 429) == "rate_limited"
        assert refused.headers["ratelimit-limit"] == "3"
        assert 3500 <= int(refused.headers["ratelimit-reset"]) <= 3600
        assert 1100 <= int(refused.headers["retry-after"]) <= 1200
        assert client.get("/v1/jobs", headers=other).status_code == 200
        assert "ratelimit-limit" not in client.get("/healthz").headers
        assert code_of(client.get("/v1/jobs"), 401) == "missing_api_key"
        assert "farzi_rate_limited_requests_total 1.0" in client.get("/metrics").text.splitlines()
