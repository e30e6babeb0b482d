"""One trace and one request id from the HTTP request to the run process, seen by a collector and a log of our own."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from app import tracing
from app.settings import SettingsError
from tests.app.driving import ADMIN, CONTENT, declare
from tests.app.test_serve import serving, wait_for

TRACE_ID, CALLER_SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACED = {"traceparent": f"00-{TRACE_ID}-{CALLER_SPAN}-01", "X-Request-Id": "req-from-outside"}


@dataclass
class Collector:
    """What an OTLP collector on a port of its own was sent."""

    url: str = ""
    spans: dict[str, Any] = field(default_factory=dict)  # by name, those of TRACE_ID


@pytest.fixture
def collector() -> Iterator[Collector]:
    collected = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                service = next(item.value.string_value for item in resource.resource.attributes if item.key == "service.name")
                for span in (span for scope in resource.scope_spans for span in scope.spans):
                    if span.trace_id.hex() == TRACE_ID:
                        collected.spans[f"{service}: {span.name}"] = span
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        collected.url = f"http://127.0.0.1:{server.server_port}"
        yield collected
        server.shutdown()


def test_a_trace_leads_from_the_request_to_the_run(tmp_path: Path, collector: Collector) -> None:
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
    with serving(tmp_path, **variables) as (process, address):
        with httpx.Client(base_url=address, headers=ADMIN) as client:
            dataset_id = declare(client)
            client.put(f"/v1/datasets/{dataset_id}/content", content=CONTENT, headers=TRACED).raise_for_status()
            wait_for(lambda: client.get(f"/v1/datasets/{dataset_id}").json()["status"] in {"ready", "invalid"}, "validation")
        wait_for(lambda: len(collector.spans) == 3, "three spans")
        process.terminate()
        process.wait(45)
    request = collector.spans["farzi-api: PUT /v1/datasets/{dataset_id}/content"]
    run = collector.spans["farzi-worker: run validation"]
    inside = collector.spans["farzi-run: run process"]
    assert request.parent_span_id.hex() == CALLER_SPAN
    assert run.parent_span_id == request.span_id
    assert inside.parent_span_id == run.span_id
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines() if line.startswith("{")]
    of_request = [line for line in lines if line.get("request_id") == "req-from-outside"]
    assert any(line["event"] == "request" for line in of_request)
    assert any(str(line["event"]).startswith("run 1 of job_") and "run" in line and "job_id" in line for line in of_request)


def test_without_a_collector_nothing_is_imported() -> None:
    code = (
        "import sys, app.main; from app.tracing import configure_tracing, span; configure_tracing('x')\n"
        "with span('a', 'server') as notes: notes.rename('b'); notes.add(c=1)\n"
        # FastAPI asks for the API package by itself.
        "assert not [name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))]"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_missing_packages_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    with pytest.raises(SettingsError, match=r"OTEL_EXPORTER_OTLP_ENDPOINT: .*farzi\[tracing\]"):
        tracing.configure_tracing("x")
    assert tracing._tracer is None


def test_a_collector_that_is_away_stops_nothing(tmp_path: Path) -> None:
    with serving(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9") as (process, address):
        assert httpx.get(f"{address}/readyz").status_code == 200
        process.terminate()
        assert process.wait(60) == 0
