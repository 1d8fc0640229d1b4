"""Waiting for jobs."""

import pytest

from limbeck.client import JobFailed
from tests.limbeck.helpers import client, job
from tests.limbeck.scripted import Say, scripted


def test_wait_reports_each_poll_and_returns_the_ended_job() -> None:
    seen: list[str] = []
    ended = job("succeeded", result={"attribute_set_id": "ats_1"})
    script = [Say(200, one) for one in (job("queued"), job("running"), ended)]
    with scripted(script) as server, client(server.url) as limbeck:
        done = limbeck.wait("job_1", lambda now: seen.append(now.status))
    assert seen == ["queued", "running", "succeeded"]
    assert done.result == {"attribute_set_id": "ats_1"}


def test_wait_raises_job_failed_with_the_job() -> None:
    failed = job("failed", error={"code": "worker_lost", "message": "its worker stopped responding"})
    with (
        scripted([Say(200, failed)]) as server,
        client(server.url) as limbeck,
        pytest.raises(JobFailed, match="failed: worker_lost: its worker stopped responding") as caught,
    ):
        limbeck.wait("job_1")
    assert caught.value.job.id == "job_1"


def test_wait_raises_after_its_timeout() -> None:
    with (
        scripted([Say(200, job("running"))]) as server,
        client(server.url) as limbeck,
        pytest.raises(TimeoutError, match="still running"),
    ):
        limbeck.wait("job_1", timeout_s=0.0)
