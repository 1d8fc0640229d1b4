"""Traces are off without a collector, cost no import, and a missing package is one line."""

import subprocess
import sys

import pytest

from limbeck.shared.tracing import spans


@pytest.mark.parametrize(
    ("environment", "requested"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_the_standard_variables_turn_traces_on(environment: dict[str, str], requested: bool) -> None:
    assert spans.is_requested(environment) is requested


def test_without_a_collector_spans_do_nothing() -> None:
    with spans.span("outer", parent="00-x", a=1) as span, spans.span("inner"):
        span.set(b=2)
        span.fail("reason")
        assert spans.traceparent() is None
    spans.begin("phase").end()


@pytest.mark.parametrize(("endpoint", "imported"), [("", False), ("http://127.0.0.1:9", True)])
def test_opentelemetry_is_imported_only_with_a_collector(endpoint: str, imported: bool) -> None:
    assert _start(endpoint, "") == (f"{imported} {imported}", "")


def test_a_missing_package_is_one_line() -> None:
    out, err = _start("http://127.0.0.1:9", "opentelemetry")
    assert out == "False False"
    assert (
        err == "limbeck-api: no traces are sent, because opentelemetry is not installed: install requirements/otel.lock"
    )


def _start(endpoint: str, blocked: str) -> tuple[str, str]:
    """What a process that starts traces prints; `blocked`: a package that it cannot import."""
    code = f"""
import importlib.abc, os, sys
class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == {blocked!r}:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Block())
os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = {endpoint!r}
from limbeck.shared.tracing import spans
spans.start("limbeck-api")
print(spans.is_on(), "opentelemetry.sdk.trace" in sys.modules, flush=True)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return ended.stdout.strip(), ended.stderr.strip()
