"""Waiting for jobs."""

import pytest

from limbeck import JobFailed, Problem
from tests.limbeck.helpers import client, job
from tests.limbeck.scripted import Say, problem, scripted


def test_wait_polls_and_returns_the_ended_job() -> None:
    ended = job("succeeded", result={"attribute_set_id": "ats_1"})
    script = [Say(200, one) for one in (job("queued"), job("running"), ended)]
    with scripted(script) as server, client(server.url) as limbeck:
        assert limbeck.jobs.wait("job_1").result == {"attribute_set_id": "ats_1"}


def test_updates_yield_each_change_and_the_ended_job() -> None:
    states = [job("queued"), job("running"), job("running"), job("failed")]
    with scripted([Say(200, one) for one in states]) as server, client(server.url) as limbeck:
        assert [one.status for one in limbeck.jobs.updates("job_1")] == ["queued", "running", "failed"]
    with scripted([Say(200, one) for one in states]) as server, client(server.url) as limbeck:
        seen = [one.status for one in limbeck.jobs.updates("job_1", unchanged=True)]
    assert seen == ["queued", "running", "running", "failed"]


def test_wait_outlasts_an_outage_that_is_longer_than_the_attempts_of_a_request() -> None:
    away = [problem(503, "starting"), Say(cut_after=0), problem(502, "bad_gateway"), Say(cut_after=0)] * 10
    script = [Say(200, job("running")), *away, Say(200, job("succeeded"))]
    with scripted(script) as server, client(server.url) as limbeck:
        assert limbeck.jobs.wait("job_1").status == "succeeded"
        assert len(server.seen) == len(script)
    with scripted(away) as server, client(server.url) as limbeck, pytest.raises(Problem, match="bad_gateway"):
        limbeck.jobs.wait("job_1")  # it was never there
    deleted = [Say(200, job("running")), problem(404, "no_such_job")]
    with scripted(deleted) as server, client(server.url) as limbeck, pytest.raises(Problem, match="no_such_job"):
        limbeck.jobs.wait("job_1")


def test_wait_raises_job_failed_with_the_job() -> None:
    failed = job("failed", error={"code": "worker_lost", "message": "its worker stopped responding"})
    with (
        scripted([Say(200, failed)]) as server,
        client(server.url) as limbeck,
        pytest.raises(JobFailed, match="failed: worker_lost: its worker stopped responding") as caught,
    ):
        limbeck.jobs.wait("job_1")
    assert caught.value.job.id == "job_1"


def test_wait_raises_after_its_timeout() -> None:
    with (
        scripted([Say(200, job("running"))]) as server,
        client(server.url) as limbeck,
        pytest.raises(TimeoutError, match="still running"),
    ):
        limbeck.jobs.wait("job_1", timeout_s=0.0)
