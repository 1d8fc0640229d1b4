"""Pause, resume, retry and priority over HTTP."""

from tests.api.conftest import Service


def _job(service: Service, **fields: object) -> dict[str, object]:
    vocabulary = service.http.post("/v1/vocabularies", json={"name": "v", "labels": ["crane", "heron"]}).json()
    body = {"kind": "encode", "vocabulary_id": vocabulary["id"], "teacher": "ViT-B-32:openai", **fields}
    created = service.http.post("/v1/jobs", json=body)
    assert created.status_code == 202, created.text
    job: dict[str, object] = created.json()
    return job


def test_a_job_is_paused_resumed_and_retried(service: Service) -> None:
    job = _job(service, priority=7)
    url = f"/v1/jobs/{job['id']}"
    assert job["priority"] == 7
    paused = service.http.post(f"{url}/pause")
    assert (paused.status_code, paused.json()["status"]) == (202, "paused")
    assert paused.json()["waiting_for"] == "the job is paused until it is resumed"
    assert [one["id"] for one in service.http.get("/v1/jobs?status=paused").json()["data"]] == [job["id"]]
    assert service.http.post(f"{url}/resume").json()["status"] == "queued"
    assert service.http.post(f"{url}/retry").json()["code"] == "job_not_failed"
    assert service.http.post(f"{url}/cancel").json()["status"] == "cancelled"
    refused = service.http.post(f"{url}/pause")
    assert (refused.status_code, refused.json()["code"]) == (409, "job_ended")
    assert service.http.post(f"{url}/retry").json()["status"] == "queued"


def test_the_priority_can_be_changed_until_the_end(service: Service) -> None:
    url = f"/v1/jobs/{_job(service)['id']}"
    assert service.http.patch(url, json={"priority": -3}).json()["priority"] == -3
    assert service.http.get(url).json()["priority"] == -3
    for priority in (101, -101, "high", None):
        assert service.http.patch(url, json={"priority": priority}).status_code == 422
    assert service.http.patch("/v1/jobs/job_none", json={"priority": 1}).status_code == 404
    service.http.post(f"{url}/cancel")
    assert service.http.patch(url, json={"priority": 1}).json()["code"] == "job_ended"
