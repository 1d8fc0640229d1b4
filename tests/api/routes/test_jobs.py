"""Jobs: progress, partial results, cancellation, lists, and lost database connections."""

from typing import Any

import psycopg
import pytest

from store.enrich import results
from store.enrich.results import ResultSlot
from store.jobs import claims
from store.jobs.part_results import PartResult
from store.jobs.progress import of_jobs as progress_of
from store.lifecycle import transitions
from tests.api.conftest import Service
from tests.conftest import POSTGRES

TEACHER = "ViT-B-32:openai"


def test_progress_of_the_current_stage(service: Service) -> None:
    dataset_id = service.dataset(service.vocabulary())
    id = service.post("/v1/jobs", {"kind": "distill", "dataset_id": dataset_id, "teacher": TEACHER}, status=202)["id"]
    claim = service.claim(id)
    with service.db.write() as tx:
        transitions.finish(tx, claim, PartResult())
    claim = service.claim(id)
    with service.db.write() as tx:
        claims.record_progress(tx, claim, done=30, total=120, unit="steps", rate=9.0)
    job = service.get(f"/v1/jobs/{id}")
    assert (job["status"], job["stage"]) == ("running", "train")
    assert job["progress"] == {
        "name": "training",
        "done": 30,
        "total": 120,
        "unit": "steps",
        "rate": 9.0,
        "eta_s": 10.0,
    }
    assert job["started_at"] > job["created_at"]
    with service.db.write() as tx:
        transitions.fail(tx, claim, code="out_of_memory", message="the GPU is full")
    job = service.get(f"/v1/jobs/{id}")
    assert (job["status"], job["stage"], job["progress"]["eta_s"]) == ("failed", "train", None)
    assert job["error"] == {"code": "out_of_memory", "message": "the GPU is full"}
    assert job["finished_at"] > job["started_at"]


@pytest.mark.parametrize("db", ["postgres"], indirect=True)
def test_lost_database_connections_are_replaced(service: Service) -> None:
    id = service.post("/v1/jobs", {"kind": "enrich", "vocabulary_id": service.vocabulary()}, status=202)["id"]
    with psycopg.connect(POSTGRES, autocommit=True) as admin:
        for _ in range(2):
            # A restart of the database server has the same effect.
            ended = "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = %s"
            assert admin.execute(ended, [service.db.url.database]).fetchall()
            assert service.get(f"/v1/jobs/{id}")["status"] == "queued"
            service.vocabulary()


def test_rates_of_running_chunks_are_summed(service: Service) -> None:
    vocabulary_id = service.vocabulary(*(f"label {n}" for n in range(10)))
    id = service.post("/v1/jobs", {"kind": "enrich", "vocabulary_id": vocabulary_id}, status=202)["id"]
    for _ in range(2):
        claim = service.claim(id)
        with service.db.write() as tx:
            claims.record_progress(tx, claim, done=1, total=4, unit="labels", rate=0.5)
    with service.db.read() as tx:
        progress = progress_of(tx, [id, "job_none"])
    assert list(progress) == [id]
    assert (progress[id].done, progress[id].total, progress[id].eta_s) == (2, 10, 8.0)


def test_results_of_a_running_enrichment(service: Service) -> None:
    vocabulary_id = service.vocabulary(*(f"label {n}" for n in range(10)))
    id = service.post("/v1/jobs", {"kind": "enrich", "vocabulary_id": vocabulary_id}, status=202)["id"]
    assert service.get(f"/v1/jobs/{id}/labels")["data"] == []
    service.claim(id)
    claim = service.claim(id)  # the second chunk
    line = {"kind": "phrase", "text": "a long bill", "part": "bill", "value": "long", "origin": "llm"}
    response: Any = {
        "key": "k",
        "model": "m",
        "base_url": "",
        "strategy": "describe@1",
        "messages": [],
        "answer": "{}",
        "lines": [line],
        "other_lines": None,
        "flags": ["too_few_phrases"],
    }
    with service.db.write() as tx:
        results.record_responses(tx, [response])
        results.record_results(tx, claim, [(ResultSlot(0, 5), "k")])
        results.record_failures(tx, claim, [(ResultSlot(0, 7), "refused", "I would rather not.")])
    page = service.get(f"/v1/jobs/{id}/labels")
    first, second = page["data"]
    assert line.items() <= first["lines"][0].items()
    assert (first["position"], first["described"], first["flags"], first["reason"]) == (
        5,
        True,
        ["too_few_phrases"],
        None,
    )
    assert second == {
        "object": "attributes",
        "position": 7,
        "label": "label 7",
        "sense": None,
        "described": False,
        "lines": [],
        "flags": [],
        "reason": "refused",
        "detail": "I would rather not.",
    }
    assert [item["position"] for item in service.get(f"/v1/jobs/{id}/labels", after=5)["data"]] == [7]
    first = service.get(f"/v1/jobs/{id}/labels", limit=1)
    assert (first["has_more"], first["last_id"]) == (True, "5")


def test_cancel_twice_and_after_the_end(service: Service) -> None:
    id = service.post("/v1/jobs", {"kind": "enrich", "vocabulary_id": service.vocabulary()}, status=202)["id"]
    for _ in range(2):
        response = service.http.post(f"/v1/jobs/{id}/cancel")
        assert (response.status_code, response.json()["status"]) == (202, "cancelled")
    id = service.post("/v1/jobs", {"kind": "enrich", "vocabulary_id": service.vocabulary()}, status=202)["id"]
    claim = service.claim(id)
    assert service.http.post(f"/v1/jobs/{id}/cancel").json()["status"] == "cancelling"
    with service.db.write() as tx:
        transitions.release(tx, claim)
    assert service.http.post(f"/v1/jobs/{id}/cancel").json()["status"] == "cancelled"
    assert service.http.post("/v1/jobs/job_none/cancel").status_code == 404


def test_list_filters(service: Service) -> None:
    vocabulary_id = service.vocabulary()
    ids = [
        service.post("/v1/jobs", {"kind": "enrich", "vocabulary_id": vocabulary_id}, status=202)["id"],
        service.post("/v1/jobs", {"kind": "encode", "vocabulary_id": vocabulary_id, "teacher": TEACHER}, status=202)[
            "id"
        ],
    ]
    service.http.post(f"/v1/jobs/{ids[0]}/cancel")

    def listed(**where: str) -> list[str]:
        return [item["id"] for item in service.get("/v1/jobs", **where)["data"]]

    assert listed() == ids[::-1]
    assert listed(kind="enrich") == [ids[0]]
    assert listed(status="queued") == [ids[1]]
    assert listed(status="cancelled", kind="encode") == []
    for where in ({"status": "asleep"}, {"kind": "x"}, {"limit": "0"}, {"limit": "101"}, {"limit": "ten"}):
        response = service.http.get("/v1/jobs", params=where)
        assert response.status_code == 422
        assert response.json()["errors"][0]["parameter"] == next(iter(where))


def test_unknown_jobs_and_jobs_without_labels(service: Service) -> None:
    for path in ("", "/events", "/labels"):
        response = service.http.get(f"/v1/jobs/job_none{path}")
        assert (response.status_code, response.json()["code"]) == (404, "job_not_found")
    job = service.post(
        "/v1/jobs", {"kind": "encode", "vocabulary_id": service.vocabulary(), "teacher": TEACHER}, status=202
    )
    assert service.http.get(f"/v1/jobs/{job['id']}/labels").json()["code"] == "no_labels"
