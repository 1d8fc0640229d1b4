"""A span of OpenTelemetry for each request of the app (`limbeck.shared.tracing`)."""

from typing import Any

from fastapi import FastAPI

from limbeck.shared.tracing import spans

_NOT_TRACED = "healthz,readyz,metrics"


def instrument(app: FastAPI) -> None:
    """Trace the requests of the app, if this process sends spans; call it before the first request."""
    if not spans.is_on():
        return
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

    FastAPIInstrumentor.instrument_app(
        app,
        excluded_urls=_NOT_TRACED,
        server_request_hook=_remove_query,
        exclude_spans=["receive", "send"],
    )


def _remove_query(span: Any, scope: dict[str, Any]) -> None:
    """A client may have put its key into the query string."""
    for name in ("http.url", "http.target", "url.full", "url.query"):
        if value := (span.attributes or {}).get(name):
            span.set_attribute(name, "" if name == "url.query" else str(value).partition("?")[0])
