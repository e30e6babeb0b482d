# Made from farzi_client/_async/client.py by python -m tests.farzi_client.twins: change it there.
"""The client: one object, one pool of connections, one resource per noun of the API."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from farzi_client._sync.artifacts import Artifacts
from farzi_client._sync.datasets import Datasets
from farzi_client._sync.jobs import Jobs
from farzi_client._sync.keys import Keys
from farzi_client._sync.paging import get_page, iterate_pages
from farzi_client._sync.transport import Transport
from farzi_client._sync.webhooks import Webhooks
from farzi_client.address import find_key, find_url
from farzi_client.datasets import Task
from farzi_client.jobs import JobKind
from farzi_client.models import AuditEvent, Preset, Usage


class Client:
    """A connection to a Farzi service. Safe to share between threads or tasks; close it, or use it in a ``with`` block.

    Args:
        api_key: bearer key; default ``FARZI_API_KEY``.
        base_url: where the service is; default ``FARZI_API_URL``, else ``http://127.0.0.1:8000``.
        timeout_s: longest silence of one exchange, in seconds; waiting for jobs is not bounded by it.
        max_retries: further attempts after a dropped connection, a 408, 429 or 5xx, or a 409 that says that an earlier attempt
            is still being carried out. ``Retry-After`` is honoured up to a minute.

    Raises:
        NoApiKey: there is no key, or it cannot be one.
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        base_url: str | None = None,
        timeout_s: float = 60.0,
        max_retries: int = 3,
    ) -> None:
        key = find_key(api_key)
        self._transport = Transport(find_url(base_url), key, timeout_s=timeout_s, max_retries=max_retries)
        self.datasets = Datasets(self._transport)
        self.artifacts = Artifacts(self._transport)
        self.jobs = Jobs(self._transport, self.artifacts)
        self.keys = Keys(self._transport)
        self.webhooks = Webhooks(self._transport)

    def presets(self, *, task: Task | None = None) -> tuple[Preset, ...]:
        """Return the presets, of every task or of one."""
        return (get_page(self._transport, "/v1/presets", Preset, {"task": task})).data

    def spec_schema(self, *, task: Task | None = None, kind: JobKind | None = None) -> dict[str, Any]:
        """Return the JSON Schema of the spec of a distillation or an evaluation; students and defaults differ between tasks."""
        return dict(self._transport.get("/v1/spec/schema", {"task": task, "kind": kind}))

    def usage(self) -> Usage:
        """Return what the tenant stores and runs, and its limits."""
        return Usage.from_json(self._transport.get("/v1/usage"))

    def audit_events(self) -> Iterator[AuditEvent]:
        """Yield every administrative act, newest first; needs a key of scope ``admin``."""
        return iterate_pages(self._transport, "/v1/audit-events", AuditEvent, {})

    def health(self) -> dict[str, Any]:
        """Return ``{"status": "ok"}`` where the service answers at all."""
        return dict(self._transport.get("/healthz"))

    def readiness(self) -> dict[str, Any]:
        """Return the state of the parts the service is made of.

        Raises:
            ServiceFailed: a part cannot be used; the message names it.
        """
        return dict(self._transport.get("/readyz"))

    def prometheus_metrics(self) -> str:
        """Return the service's own metrics in Prometheus' text format."""
        return self._transport.get_text("/metrics")

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document of the service."""
        return dict(self._transport.get("/v1/openapi.json"))

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
