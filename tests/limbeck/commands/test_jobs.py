"""`limbeck jobs`, `job` and `cancel`."""

import re

import pytest

from limbeck.cli import main
from tests.limbeck.helpers import job, page
from tests.limbeck.scripted import Say, scripted

pytestmark = pytest.mark.usefixtures("home")


Capture = pytest.CaptureFixture[str]


def test_jobs_and_cancel_show_the_status(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMBECK_KEY", "lbk_secret")
    with scripted([Say(200, page(job("running")))]) as server:
        assert main(["jobs", "--url", server.url]) == 0
    assert server.seen[0].headers["authorization"] == "Bearer lbk_secret"
    assert re.search(r"job_1\s+enrich\s+running\s+1/4 labels", capsys.readouterr().out)
    with scripted([Say(202, job("cancelling"))]) as server:
        assert main(["cancel", "job_1", "--url", server.url]) == 0
    assert capsys.readouterr().out == "job_1 cancelling\n"


def test_a_failed_job_is_shown_with_its_events_and_exit_code_1(capsys: Capture) -> None:
    ended = job("failed", error={"code": "worker_lost", "message": "its worker stopped responding"})
    event = {
        "id": 1,
        "at": "2026-11-23T21:04:05Z",
        "level": "warning",
        "type": "message",
        "message": "[red]odd[/red]",
        "data": {},
    }
    with scripted([Say(200, ended), Say(200, page(event)), Say(200, ended)]) as server:
        code = main(["job", "job_1", "--url", server.url])
    printed = capsys.readouterr()
    assert code == 1
    assert "[red]odd[/red]" in printed.out
    assert printed.err == "limbeck: enrich job job_1 failed: worker_lost: its worker stopped responding\n"


def test_a_cancelled_job_has_exit_code_1_like_the_command_that_followed_it(capsys: Capture) -> None:
    ended = job("cancelled")
    with scripted([Say(200, ended), Say(200, page()), Say(200, ended)]) as server:
        assert main(["job", "job_1", "--url", server.url]) == 1
    assert capsys.readouterr().err == "limbeck: enrich job job_1 cancelled\n"


def test_an_ended_enrichment_is_shown_with_its_reasons_and_exit_code_3(capsys: Capture) -> None:
    result = {"caption_set_id": "cps_1", "num_images": 3, "num_captioned": 2, "failed_images": {"unreadable_image": 1}}
    ended = job("succeeded", result=result)
    with scripted([Say(200, ended), Say(200, page()), Say(200, ended)]) as server:
        assert main(["job", "job_1", "--url", server.url]) == 3
    printed = capsys.readouterr()
    assert "2 of 3 images described as cps_1, 1 without attributes" in printed.out
    assert "remedy: Repair or remove the files" in printed.out
    assert printed.err == "limbeck: of 3 images, 1 without attributes; the reasons are above\n"
