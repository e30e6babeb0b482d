"""The synchronous client: one object, one pool of connections, one resource per noun of the API."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any, Self

from farzi_client.artifacts import Artifacts
from farzi_client.datasets import Datasets, Task
from farzi_client.errors import NoApiKey
from farzi_client.jobs import JobKind, Jobs
from farzi_client.keys import Keys
from farzi_client.models import Preset
from farzi_client.paging import get_page
from farzi_client.transport import Transport
from farzi_client.webhooks import Webhooks

URL_VARIABLE = "FARZI_API_URL"
KEY_VARIABLE = "FARZI_API_KEY"
DEFAULT_URL = "http://127.0.0.1:8000"


class Client:
    """A connection to a Farzi service. Safe to share between threads; close it, or use it in a ``with`` block.

    Args:
        api_key: bearer key; default ``FARZI_API_KEY``.
        base_url: where the service is; default ``FARZI_API_URL``, else ``http://127.0.0.1:8000``.
        timeout_s: longest silence of one exchange, in seconds; waiting for jobs is not bounded by it.
        max_retries: further attempts after a dropped connection or a 429, 502, 503 or 504.

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
        key = (api_key or os.environ.get(KEY_VARIABLE, "")).strip()
        if not key:
            raise NoApiKey(f"no API key: set {KEY_VARIABLE}, or pass api_key")
        if not key.isascii() or not key.isprintable() or " " in key:
            raise NoApiKey(f"the API key has characters that no key has; look at {KEY_VARIABLE}")
        url = base_url or os.environ.get(URL_VARIABLE) or DEFAULT_URL
        self._transport = Transport(url, key, timeout_s=timeout_s, max_retries=max_retries)
        self.datasets = Datasets(self._transport)
        self.jobs = Jobs(self._transport)
        self.artifacts = Artifacts(self._transport)
        self.keys = Keys(self._transport)
        self.webhooks = Webhooks(self._transport)

    def presets(self, *, task: Task | None = None) -> tuple[Preset, ...]:
        """Return the presets, of every task or of one."""
        return get_page(self._transport, "/v1/presets", Preset, {"task": task}).data

    def spec_schema(self, *, task: Task | None = None, kind: JobKind | None = None) -> dict[str, Any]:
        """Return the JSON Schema of the spec of a distillation or an evaluation; students and defaults differ between tasks."""
        return dict(self._transport.get("/v1/spec/schema", {"task": task, "kind": kind}))

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
