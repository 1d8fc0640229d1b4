"""One trace from the request that creates a job to its LLM calls and its GPU process, sent over OTLP."""

import gzip
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from benchmarks import load
from store.db import Database
from store.migrate import upgrade

SECRET = "sk-a-secret-key-of-the-llm"
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


class Collector:
    """An OTLP collector on loopback that keeps the spans."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Span]] = []
        self.bodies: list[bytes] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.bodies.append(body)
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    (service,) = [
                        item.value.string_value for item in resource.resource.attributes if item.key == "service.name"
                    ]
                    for scope in resource.scope_spans:
                        collector.spans += [(service, span) for span in scope.spans]
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def named(self, start: str) -> list[tuple[str, Span]]:
        return [(service, span) for service, span in self.spans if span.name.startswith(start)]

    def wait_for(self, start: str) -> tuple[str, Span]:
        deadline = time.monotonic() + 60
        while not self.named(start):
            assert time.monotonic() < deadline, (start, [span.name for _, span in self.spans])
            time.sleep(0.1)
        return self.named(start)[0]


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.mark.nightly
def test_a_trace_continues_in_the_llm_call_and_in_the_gpu_process(collector: Collector, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'limbeck.db'}"
    db = Database(url)
    upgrade(db)
    db.dispose()
    (tmp_path / "data" / "teacher").mkdir(parents=True)  # without any file: the part fails, and has a span
    port, llm_port = load.free_port(), load.free_port()
    environment = {
        "LIMBECK_HOME": str(tmp_path),
        "LIMBECK_DATABASE_URL": url,
        "LIMBECK_PORT": str(port),
        "LIMBECK_HOST": "127.0.0.1",
        "LIMBECK_REDIS_URL": "",
        "LIMBECK_LLM_MODEL": "standin",
        "LIMBECK_LLM_BASE_URL": f"http://127.0.0.1:{llm_port}/v1",
        "LIMBECK_LLM_API_KEY": SECRET,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }
    headers = {"traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01"}
    with ExitStack() as stack:
        stack.enter_context(load.process(["-m", "benchmarks.standin", "--port", str(llm_port)], {}))
        api = stack.enter_context(load.process(["-m", "api"], environment))
        stack.enter_context(load.process(["-m", "workers.embedded"], environment))
        load.wait_for(f"http://127.0.0.1:{port}/healthz", api)
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
            vocabulary = http.post("/v1/vocabularies", json={"name": "birds", "labels": ["a secret label"]}).json()
            for body in (
                {"kind": "enrich", "vocabulary_id": vocabulary["id"], "strategies": ["describe"]},
                {"kind": "encode", "vocabulary_id": vocabulary["id"], "teacher": "local-dir:teacher", "text": "names"},
            ):
                created = http.post("/v1/jobs?token=querysecret", json=body, headers=headers)
                assert created.status_code == 202, created.text
        request = collector.wait_for("POST /v1/jobs")
        call = collector.wait_for("chat standin")
        process = collector.wait_for("GPU process")
        part, encode = collector.wait_for("part describe"), collector.wait_for("part encode")
    for _, span in (request, call, process, part, encode):
        assert span.trace_id.hex() == TRACE_ID, span.name
    assert [service for service, _ in (request, call, process)] == ["limbeck-api", "limbeck-worker", "limbeck-gpu"]
    assert call[1].parent_span_id == part[1].span_id
    assert encode[1].parent_span_id == process[1].span_id
    posts = {span.span_id for _, span in collector.named("POST /v1/jobs")}
    assert {part[1].parent_span_id, process[1].parent_span_id} <= posts
    attributes = {item.key: item.value for item in call[1].attributes}
    assert attributes["gen_ai.request.model"].string_value == "standin"
    assert attributes["gen_ai.usage.output_tokens"].int_value > 0
    assert attributes["status"].string_value == "ok"
    sent = b"".join(collector.bodies)
    for hidden in (SECRET, "querysecret", "a secret label"):
        assert hidden.encode() not in sent
