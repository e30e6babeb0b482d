"""Spans of OpenTelemetry, when the environment names a collector (``OTEL_EXPORTER_OTLP_ENDPOINT``); else nothing is loaded.

Parents are passed on as W3C trace contexts: in a header to the API, in the job's row to the supervisor, in a variable to the
run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from app.request_context import continue_trace, current_request
from app.settings import SettingsError

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

COLLECTOR_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

_tracer: Tracer | None = None


class SpanNotes:
    """What becomes known of a span while it lasts."""

    def __init__(self, span: Span | None) -> None:
        self._span = span

    def rename(self, name: str) -> None:
        if self._span is not None:
            self._span.update_name(name)

    def add(self, **attributes: Any) -> None:
        """Add attributes; an underscore in a name stands for a dot."""
        if self._span is not None:
            self._span.set_attributes({name.replace("_", "."): value for name, value in attributes.items()})


def configure_tracing(service: str) -> None:
    """Send this process's spans to the collector of the environment, if it names one.

    Raises:
        SettingsError: it names one, and the packages are missing.
    """
    global _tracer  # noqa: PLW0603  one collector a process, like one log
    named = [name for name in COLLECTOR_VARIABLES if os.environ.get(name)]
    if not named or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ModuleNotFoundError:
        raise SettingsError(f"{named[0]}: tracing needs more packages: pip install 'farzi[tracing]', or unset it") from None
    resource = Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME", service)})
    provider = TracerProvider(resource=resource)  # sends what is left when the process ends
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _tracer = provider.get_tracer("farzi")


@contextmanager
def span(name: str, kind: Literal["server", "consumer", "internal"]) -> Iterator[SpanNotes]:
    """Do the block in a span below that of the request at hand; what the block starts is below it in turn."""
    if _tracer is None:
        yield SpanNotes(None)
        return
    from opentelemetry.trace import SpanKind  # noqa: PLC0415
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

    propagator = TraceContextTextMapPropagator()
    parent = propagator.extract({"traceparent": current_request().traceparent or ""})
    with _tracer.start_span(name, parent, SpanKind[kind.upper()]) as started:
        context = started.get_span_context()
        continue_trace(f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}")
        yield SpanNotes(started)
