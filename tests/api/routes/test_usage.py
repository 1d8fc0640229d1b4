"""LLM usage of jobs: sums, the calls as pages and as CSV, and caps that are rejected."""

import csv
import io
from typing import Any

import pytest
from sqlalchemy import event

from store.enrich import results, usage
from store.jobs import claims
from tests.api.conftest import Service


@pytest.fixture
def job_id(service: Service) -> str:
    """An enrich job with 4 labels, of which 1 is done. It made 3 calls, of which 1 has no price."""
    vocabulary_id = service.vocabulary()
    body = {"kind": "enrich", "vocabulary_id": vocabulary_id, "budget_tokens": 100_000}
    job = service.post("/v1/jobs", body, status=202)
    assert job["spend"] == {
        "usd": "0",
        "tokens": 0,
        "calls": 0,
        "unconfirmed_usd": "0",
        "unconfirmed_tokens": 0,
        "unconfirmed_calls": 0,
        "unpriced_calls": 0,
        "repeated_calls": 0,
        "repaired_responses": 0,
        "cap_usd": None,
        "cap_tokens": 100_000,
        "projected_usd": None,
    }
    with service.db.write() as tx:
        claim = claims.claim(tx, claims.ready(tx, ["enrich"])[0], worker="w", lease_s=60)
        assert claim is not None
        rows = [call(1, 12_345_000), call(2, 500_000_000), call(3, None)]
        results.record_calls(tx, claim, rows)
        usage.add_calls(tx, claim.job_id, rows, num_repaired=1)
        claims.record_progress(tx, claim, done=1, total=4, unit="labels", rate=None)
    id: str = job["id"]
    return id


def call(attempt: int, cost_pusd: int | None) -> dict[str, Any]:
    tokens = {"prompt_tokens": 100, "cached_tokens": 20, "completion_tokens": 10}
    return {
        "position": 0,
        "key": "k",
        "strategy": "describe@1",
        "model": "m",
        "mode": "live",
        "attempt": attempt,
        "status": "ok",
        "http_status": 200,
        "cost_pusd": cost_pusd,
        "latency_s": 0.5,
        **(tokens if cost_pusd is not None else dict.fromkeys(tokens)),
    }


def test_usage_and_projected_cost_of_a_job(service: Service, job_id: str) -> None:
    spend = service.get(f"/v1/jobs/{job_id}")["spend"]
    assert spend == {
        "usd": "0.000512345",
        "tokens": 220,
        "calls": 3,
        "unconfirmed_usd": "0",
        "unconfirmed_tokens": 0,
        "unconfirmed_calls": 0,
        "unpriced_calls": 1,
        "repeated_calls": 2,
        "repaired_responses": 1,
        "cap_usd": None,
        "cap_tokens": 100_000,
        "projected_usd": "0.00204938",
    }
    (listed,) = service.get("/v1/jobs")["data"]
    assert listed["spend"] == spend
    vocabulary_id = service.vocabulary("wren")
    other = service.post(
        "/v1/jobs", {"kind": "encode", "vocabulary_id": vocabulary_id, "teacher": "ViT-B-32:openai"}, status=202
    )
    assert other["spend"] is None
    assert service.get(f"/v1/jobs/{other['id']}/calls")["data"] == []


def test_calls_as_pages_and_as_csv(service: Service, job_id: str) -> None:
    first = service.get(f"/v1/jobs/{job_id}/calls", limit=2)
    assert [(item["attempt"], item["cost_usd"]) for item in first["data"]] == [(1, "0.000012345"), (2, "0.0005")]
    assert first["has_more"]
    rest = service.get(f"/v1/jobs/{job_id}/calls", after=first["last_id"])
    assert [(item["attempt"], item["cost_usd"], item["prompt_tokens"]) for item in rest["data"]] == [(3, None, None)]
    assert not rest["has_more"]
    by_format = service.http.get(f"/v1/jobs/{job_id}/calls", params={"format": "csv"})
    by_accept = service.http.get(f"/v1/jobs/{job_id}/calls", headers={"Accept": "text/csv"})
    assert by_format.headers["content-type"] == "text/csv; charset=utf-8"
    assert by_format.text == by_accept.text
    rows = list(csv.DictReader(io.StringIO(by_format.text)))
    assert [(row["id"], row["cost_usd"], row["cached_tokens"]) for row in rows] == [
        (item["id"], item["cost_usd"] or "", "" if item["cached_tokens"] is None else str(item["cached_tokens"]))
        for item in (*first["data"], *rest["data"])
    ]
    assert service.http.get("/v1/jobs/job_none/calls").status_code == 404


@pytest.mark.parametrize(
    ("budget", "code", "pointer"),
    [
        ({"budget_usd": "1"}, "price_unknown", "/budget_usd"),
        ({"budget_usd": "0.00"}, "invalid", "/budget_usd"),
        ({"budget_usd": "1e3"}, "invalid", "/budget_usd"),
        ({"budget_usd": "-1"}, "invalid", "/budget_usd"),
        ({"budget_usd": 1.5}, "invalid", "/budget_usd"),
        ({"budget_usd": "0.0000000000001"}, "invalid", "/budget_usd"),
        ({"budget_tokens": 0}, "invalid", "/budget_tokens"),
    ],
)
def test_invalid_caps_are_rejected(service: Service, budget: Any, code: str, pointer: str) -> None:
    body = {"kind": "enrich", "vocabulary_id": service.vocabulary(), **budget}
    problem = service.rejection("/v1/jobs", body)
    assert [error["pointer"] for error in problem["errors"]] == [pointer]
    assert problem["code"] == code or code == "invalid"


def test_getting_a_job_takes_one_statement(service: Service, job_id: str) -> None:
    statements: list[str] = []

    @event.listens_for(service.db.reader, "before_cursor_execute")
    def record(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    service.get(f"/v1/jobs/{job_id}")
    assert len([statement for statement in statements if statement != "BEGIN"]) == 1
