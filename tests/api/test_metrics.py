"""Prometheus metrics."""

import re
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from api.metrics.collectors import COLLECTORS
from store.enrich import results, usage
from store.enrich.results import ResultSlot
from store.jobs import claims, counters
from store.jobs.part_results import PartResult
from store.lifecycle import transitions
from store.models import Base
from tests.api.conftest import Service

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape(service: Service) -> Samples:
    """(name, labels) -> value of every sample; fails if the text is not valid."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(service.http.get("/metrics").text)
        for sample in family.samples
    }


def test_job_and_request_metrics(service: Service) -> None:
    vocabulary_id = service.vocabulary()
    for _ in range(2):
        service.post("/v1/jobs", {"kind": "enrich", "vocabulary_id": vocabulary_id}, status=202)
    service.http.get("/v1/jobs/job_none")
    text = service.http.get("/metrics").text
    assert 'limbeck_jobs{kind="enrich",status="queued"} 2.0' in text
    assert 'limbeck_parts{queue="enrich",status="queued"} 2.0' in text
    assert 'limbeck_queue_depth{queue="enrich"} 2.0' in text
    assert 'limbeck_queue_depth{queue="gpu"} 0.0' in text
    assert 'limbeck_processes{role="gpu"} 0.0' in text
    assert 'limbeck_request_seconds_count{method="POST",route="/v1/jobs",status="202"} 2.0' in text
    assert 'limbeck_request_seconds_count{method="GET",route="/v1/jobs/{id}",status="404"} 1.0' in text
    assert "job_none" not in text  # a series per id would exhaust Prometheus' memory


def _call(status: str, cost_pusd: int | None) -> dict[str, Any]:
    return {
        "position": 0,
        "key": "k",
        "strategy": "describe@1",
        "model": 'a "model"',
        "mode": "live",
        "attempt": 1,
        "status": status,
        "http_status": 200,
        "prompt_tokens": 100,
        "cached_tokens": 20,
        "completion_tokens": None if status == "timeout" else 10,
        "cost_pusd": cost_pusd,
        "latency_s": 0.5,
    }


def test_calls_tokens_money_failures_and_durations(service: Service) -> None:
    job = service.post("/v1/jobs", {"kind": "enrich", "vocabulary_id": service.vocabulary()}, status=202)
    claim = service.claim(job["id"])
    calls = [_call("ok", 3 * 10**9), _call("ok", 10**9), _call("timeout", None)]
    with service.db.write() as tx:
        results.record_calls(tx, claim, calls)
        results.record_failures(tx, claim, [(ResultSlot(0, 3), "timeout", "no response")])
        usage.add_calls(tx, claim.job_id, calls)
    with service.db.write() as tx:
        transitions.finish(tx, claim, PartResult())
    with service.db.write() as tx:
        counters.fold(tx)
    found = scrape(service)
    model = ("model", 'a "model"')
    assert found["limbeck_llm_calls_total", (model, ("status", "ok"))] == 2
    assert found["limbeck_llm_calls_total", (model, ("status", "timeout"))] == 1
    assert found["limbeck_llm_tokens_total", (("kind", "prompt"), model)] == 300
    assert found["limbeck_llm_tokens_total", (("kind", "cached"), model)] == 60
    assert found["limbeck_llm_tokens_total", (("kind", "completion"), model)] == 20
    assert found["limbeck_llm_cost_dollars_total", (model,)] == pytest.approx(0.004)
    assert found["limbeck_llm_unpriced_calls_total", (model,)] == 1
    assert found["limbeck_llm_call_seconds_total", (model,)] == 1.5
    assert found["limbeck_llm_failures_total", (("reason", "timeout"),)] == 1
    part = (("kind", "describe"), ("outcome", "succeeded"))
    assert found["limbeck_part_seconds_count", part] == 1
    buckets = [value for (name, labels), value in found.items() if name.endswith("part_seconds_bucket")]
    assert buckets == sorted(buckets)
    assert len(buckets) == len(counters.PART_BOUNDS_S) + 1


def test_only_a_running_training_has_figures(service: Service) -> None:
    job = service.post("/v1/jobs", {"kind": "enrich", "vocabulary_id": service.vocabulary()}, status=202)
    claim = service.claim(job["id"])
    gauges = {"images_per_second": 812.5, "data_wait_ratio": 0.02, "gpu_memory_bytes": 3e9}
    with service.db.write() as tx:
        claims.record_progress(tx, claim, done=1, total=2, unit="steps", rate=1.0, gauges=gauges)
    names = (
        "limbeck_training_images_per_second",
        "limbeck_training_data_wait_ratio",
        "limbeck_gpu_memory_bytes",
    )
    labels = (("job", job["id"]), ("kind", "describe"), ("worker", ""))
    assert [scrape(service)[name, labels] for name in names] == list(gauges.values())
    with service.db.write() as tx:
        transitions.finish(tx, claim, PartResult())
    assert not {name for name, _ in scrape(service)} & set(names)


def test_a_scrape_reads_no_table_that_grows_with_the_calls(service: Service) -> None:
    statements: list[str] = []
    event.listen(service.db.reader, "before_cursor_execute", lambda *args: statements.append(args[2]))
    service.http.get("/metrics")
    read = set(re.findall(r"(?:FROM|JOIN) (\w+)", " ".join(statements))) & set(Base.metadata.tables)
    assert {"jobs", "parts", "beats", "counters", "counter_increments"} <= read
    # The first scrape also starts a count of the files, in the background, which reads the tables that name files.
    assert not read & {"llm_calls", "llm_answers", "llm_reservations", "enrich_results", "events", "labels"}


def test_without_a_database_the_metrics_of_the_process_are_served(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert scrape(service)["limbeck_database_up", ()] == 1
    service.http.get("/healthz")

    def broken(*_: object) -> None:
        raise OperationalError("select 1", {}, Exception("gone"))

    monkeypatch.setattr("api.metrics.registry.COLLECTORS", (*COLLECTORS, broken))
    found = scrape(service)
    assert found["limbeck_database_up", ()] == 0
    assert found["limbeck_request_seconds_count", (("method", "GET"), ("route", "/healthz"), ("status", "200"))] == 1
    assert not [name for name, _ in found if name.startswith("limbeck_queue")]
