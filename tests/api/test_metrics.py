"""Prometheus metrics."""

from tests.api.conftest import Service


def test_job_and_request_metrics(service: Service) -> None:
    vocabulary_id = service.vocabulary()
    for _ in range(2):
        service.post("/v1/jobs", {"kind": "enrich", "vocabulary_id": vocabulary_id}, status=202)
    service.http.get("/v1/jobs/job_none")
    text = service.http.get("/metrics").text
    assert 'limbeck_jobs{kind="enrich",status="queued"} 2.0' in text
    assert 'limbeck_parts{queue="enrich",status="queued"} 2.0' in text
    assert 'limbeck_request_seconds_count{method="POST",route="/v1/jobs",status="202"} 2.0' in text
    assert 'limbeck_request_seconds_count{method="GET",route="/v1/jobs/{id}",status="404"} 1.0' in text
    assert "job_none" not in text  # a series per id would exhaust Prometheus' memory
