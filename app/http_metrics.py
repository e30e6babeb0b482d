"""Prometheus metrics of the HTTP edge, and of jobs at the moment of the scrape."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

KNOWN_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


class HttpMetrics:
    """A registry of its own, so that two applications in one process do not count for each other."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "farzi_http_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self._durations = Histogram(
            "farzi_http_request_duration_seconds", "Time to the end of the answer.", ["method", "route"], registry=self.registry
        )
        self._jobs = Gauge("farzi_jobs", "Jobs by kind and status.", ["kind", "status"], registry=self.registry)

    def observe(self, method: str, route: str, status: int, duration_s: float) -> None:
        known = method if method in KNOWN_METHODS else "other"
        self._requests.labels(known, route, str(status)).inc()
        self._durations.labels(known, route).observe(duration_s)

    def render(self, num_jobs: Mapping[tuple[str, str], int]) -> bytes:
        """Return the text format, with the jobs counted by (kind, status)."""
        self._jobs.clear()
        for (kind, status), count in num_jobs.items():
            self._jobs.labels(kind, status).set(count)
        return generate_latest(self.registry)
