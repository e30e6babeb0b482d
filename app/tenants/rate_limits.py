"""Rate limits of tenants: a token bucket each (GCRA), in Redis where there is one, so that all processes share it.

GCRA keeps one moment per tenant: when its bucket would be full again. Every request moves it by one interval into the future;
one that would move it further than the burst allows is refused and moves nothing.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import structlog

from app.errors import ServiceError
from app.settings import Settings

if TYPE_CHECKING:
    import redis

SECOND_US = 1_000_000
REDIS_TIMEOUT_S = 0.25
# While Redis is away, one request in so many seconds tries it; the others do not wait for it.
REDIS_PAUSE_S = 2.0
KEPT_BUCKETS = 10_000
TAKE_SCRIPT = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now) + interval
local wait = full_at - now - interval * burst
if wait > 0 then
  return {wait, full_at - now - interval}
end
redis.call('SET', KEYS[1], string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000))
return {0, full_at - now}
"""

logger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Allowance:
    """What is left after one request; with ``retry_after_s`` it may not pass."""

    limit: int
    remaining: int
    reset_s: int
    retry_after_s: int | None

    @property
    def headers(self) -> dict[str, str]:
        """The fields of the IETF's draft of RateLimit headers."""
        fields = {"Limit": self.limit, "Remaining": self.remaining, "Reset": self.reset_s}
        return {f"RateLimit-{name}": str(value) for name, value in fields.items()}


def too_many_requests(allowance: Allowance) -> ServiceError:
    return ServiceError(
        "rate_limited",
        f"The {allowance.limit} requests that the tenant may send at once are spent; wait {allowance.retry_after_s} s.",
        headers={"Retry-After": str(allowance.retry_after_s)},
    )


class RateLimiter(Protocol):
    """Takes one token of a tenant's bucket; None: there is nobody to ask, so the request may pass."""

    def take(self, tenant_id: str) -> Allowance | None: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Bucket:
    """The form of every bucket: a token each ``interval_us`` microseconds, ``burst`` at most."""

    interval_us: int
    burst: int

    def allowance(self, wait_us: int, until_full_us: int) -> Allowance:
        remaining = 0 if wait_us else (self.interval_us * self.burst - until_full_us) // self.interval_us
        retry_after_s = math.ceil(wait_us / SECOND_US) if wait_us else None
        return Allowance(self.burst, remaining, math.ceil(until_full_us / SECOND_US), retry_after_s)


class LocalRateLimiter:
    """Buckets of this process."""

    def __init__(self, bucket: Bucket, clock: Callable[[], float] = time.monotonic) -> None:
        self._bucket = bucket
        self._clock = clock
        self._full_at: dict[str, int] = {}
        self._lock = threading.Lock()

    def take(self, tenant_id: str) -> Allowance:
        now = int(self._clock() * SECOND_US)
        with self._lock:
            full_at = max(self._full_at.get(tenant_id, now), now) + self._bucket.interval_us
            wait_us = full_at - now - self._bucket.interval_us * self._bucket.burst
            if wait_us > 0:
                return self._bucket.allowance(wait_us, full_at - now - self._bucket.interval_us)
            self._full_at[tenant_id] = full_at
            if len(self._full_at) > KEPT_BUCKETS:
                self._full_at = {tenant: at for tenant, at in self._full_at.items() if at > now}
        return self._bucket.allowance(0, full_at - now)

    def close(self) -> None:
        """Nothing is held open."""


class RedisRateLimiter:
    """Buckets in Redis: one round trip each, by Redis' clock. While Redis is away every request may pass."""

    def __init__(self, bucket: Bucket, client: redis.Redis, count_failure: Callable[[], None]) -> None:
        self._bucket = bucket
        self._client = client
        self._script = client.register_script(TAKE_SCRIPT)
        self._count_failure = count_failure
        self._paused_until = 0.0

    def take(self, tenant_id: str) -> Allowance | None:
        import redis  # noqa: PLC0415  embedded mode starts without it

        if time.monotonic() < self._paused_until:
            self._count_failure()
            return None
        try:
            arguments = [self._bucket.interval_us, self._bucket.burst]
            wait_us, until_full_us = self._script(keys=[f"farzi:rate:{tenant_id}"], args=arguments)
        except redis.RedisError as error:
            self._paused_until = time.monotonic() + REDIS_PAUSE_S
            self._count_failure()
            logger.warning("rate limits are not kept: Redis does not answer", exc_info=error)
            return None
        return self._bucket.allowance(wait_us, until_full_us)

    def close(self) -> None:
        self._client.close()


def make_rate_limiter(settings: Settings, count_failure: Callable[[], None]) -> RateLimiter | None:
    """Return the limiter that the settings ask for; None: no limit."""
    if not settings.rate_limit_per_s:
        return None
    bucket = Bucket(max(1, round(SECOND_US / settings.rate_limit_per_s)), settings.rate_limit_burst)
    if settings.broker_url is None:
        return LocalRateLimiter(bucket)
    import redis  # noqa: PLC0415  embedded mode starts without it

    timeouts = {"socket_connect_timeout": REDIS_TIMEOUT_S, "socket_timeout": REDIS_TIMEOUT_S}
    return RedisRateLimiter(bucket, redis.Redis.from_url(settings.broker_url, **timeouts), count_failure)
