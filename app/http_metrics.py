"""Prometheus metrics of this process, and of all API processes together where there are several.

With several processes ``app/api_processes.py`` sets ``PROMETHEUS_MULTIPROC_DIR``, the directory in which each keeps its values.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from sqlalchemy import Engine, event

KNOWN_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
DURATION_BUCKETS_S = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0, 600.0)
MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


class HttpMetrics:
    """A registry of its own, so that two applications in one process do not count for each other."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "farzi_http_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self._durations = Histogram(
            "farzi_http_request_duration_seconds",
            "Time to the end of the answer.",
            ["method", "route"],
            buckets=DURATION_BUCKETS_S,
            registry=self.registry,
        )
        self.rate_limited = Counter(
            "farzi_rate_limited_requests", "Requests refused by the rate limit.", registry=self.registry
        )
        self.rate_limit_failures = Counter(
            "farzi_rate_limit_failures", "Requests that passed because Redis did not answer.", registry=self.registry
        )
        self._connections = Gauge(
            "farzi_db_connections_in_use",
            "Database connections that are checked out.",
            multiprocess_mode="livesum",
            registry=self.registry,
        )
        self._most_connections = Gauge(
            "farzi_db_connections_max",
            "Database connections that may be open.",
            multiprocess_mode="livesum",
            registry=self.registry,
        )

    def observe(self, method: str, route: str, status: int, duration_s: float) -> None:
        known = method if method in KNOWN_METHODS else "other"
        self._requests.labels(known, route, str(status)).inc()
        self._durations.labels(known, route).observe(duration_s)

    def watch_pool(self, engine: Engine, most_connections: int) -> None:
        """Count the engine's connections from now on."""
        self._most_connections.set(most_connections)
        event.listen(engine, "checkout", lambda *_: self._connections.inc())
        event.listen(engine, "checkin", lambda *_: self._connections.dec())

    def render(self, others: Iterable[Metric]) -> bytes:
        """Return the text format of every process's metrics and of ``others``, which are the same whoever is asked."""
        registry = CollectorRegistry()
        if os.environ.get(MULTIPROCESS_VARIABLE):
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        else:
            registry.register(self.registry)
        registry.register(_Given(others))
        return generate_latest(registry)


class _Given(Collector):
    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics
