"""Spans of OpenTelemetry, from the request that creates a job to its LLM calls and GPU processes.

Off unless a standard variable names a collector (`OTEL_EXPORTER_OTLP_ENDPOINT`), and then OpenTelemetry is not even
imported. Spans have names, ids, counts and statuses; no text of a prompt or response, no header and no query string.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

Value = str | int | float | bool | None
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_EXPORT_TIMEOUT_S = 3
"""Unless OTEL_EXPORTER_OTLP_TIMEOUT says otherwise: a process that ends waits so long for a collector that is away."""

_tracer: "Tracer | None" = None


def is_requested(environment: Mapping[str, str]) -> bool:
    """Whether the standard variables ask for traces."""
    is_disabled = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return not is_disabled and any(environment.get(name) for name in _ENDPOINTS)


def start(service: str) -> None:
    """Send the spans of this process, as `service` unless OTEL_SERVICE_NAME is set, if the variables ask for it.

    Writes one line to stderr if OpenTelemetry is not installed.
    """
    global _tracer
    if _tracer is not None or not is_requested(os.environ):
        return
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        reason = f"{error.name} is not installed: install requirements/otel.lock"
        print(f"{service}: no traces are sent, because {reason}", file=sys.stderr)
        return
    os.environ.setdefault("OTEL_EXPORTER_OTLP_TIMEOUT", str(_EXPORT_TIMEOUT_S))
    name = os.environ.get("OTEL_SERVICE_NAME") or service
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    _tracer = provider.get_tracer("limbeck")


def is_on() -> bool:
    """Whether this process sends spans."""
    return _tracer is not None


def traceparent() -> str | None:
    """The current span as a W3C `traceparent`, to continue its trace in another process; None outside a span."""
    if _tracer is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent")


class OpenSpan:
    """A span that can get attributes; without traces it does nothing."""

    def __init__(self, span: "Span | None" = None) -> None:
        self._span = span

    def set(self, **attributes: Value) -> None:
        """Set attributes; `gen_ai__request__model` becomes `gen_ai.request.model`. None is left out."""
        if self._span is not None:
            self._span.set_attributes(_named(attributes))

    def fail(self, reason: str) -> None:
        """Mark the span as failed; `reason` is a code."""
        if self._span is not None:
            from opentelemetry.trace import Status, StatusCode

            self._span.set_status(Status(StatusCode.ERROR, reason))

    def end(self) -> None:
        """End a span of `begin`."""
        if self._span is not None:
            self._span.end()


NO_SPAN = OpenSpan()


@contextmanager
def span(name: str, *, parent: str | None = None, is_client: bool = False, **attributes: Value) -> Iterator[OpenSpan]:
    """A span around the block. Without a current span its parent is the `traceparent` given as `parent`.

    An exception ends the span as failed, without its message, which may hold texts.
    """
    if _tracer is None:
        yield NO_SPAN
        return
    from opentelemetry.trace import SpanKind, get_current_span
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = None
    if parent is not None and not get_current_span().get_span_context().is_valid:
        context = TraceContextTextMapPropagator().extract({"traceparent": parent})
    with _tracer.start_as_current_span(
        name,
        context,
        SpanKind.CLIENT if is_client else SpanKind.INTERNAL,
        _named(attributes),
        record_exception=False,
        set_status_on_exception=False,
    ) as started:
        opened = OpenSpan(started)
        try:
            yield opened
        except BaseException as error:
            opened.fail(type(error).__name__)
            raise


def begin(name: str) -> OpenSpan:
    """A span that `end` ends: a phase of the current span."""
    return OpenSpan(_tracer.start_span(name)) if _tracer is not None else NO_SPAN


def _named(attributes: Mapping[str, Value]) -> dict[str, str | int | float | bool]:
    return {name.replace("__", "."): value for name, value in attributes.items() if value is not None}
