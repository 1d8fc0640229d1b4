"""`limbeck jobs`, `watch` and `cancel`."""

import json
import re
from typing import Any

import pytest

from limbeck.cli import main
from tests.limbeck.helpers import SPEND, failed, job, page
from tests.limbeck.scripted import Say, problem, scripted

pytestmark = pytest.mark.usefixtures("home")


Capture = pytest.CaptureFixture[str]


def event(id: int, message: str, type: str = "message", level: str = "info", **data: Any) -> dict[str, Any]:
    return {"id": id, "at": "2026-11-23T21:04:05Z", "level": level, "type": type, "message": message, "data": data}


def step(id: int, number: int, loss: float) -> dict[str, Any]:
    figures = {"total_steps": 4, "lr": 0.001, "images_per_s": 350.0, "data_wait": 0.02}
    return event(id, f"step {number}/4", "metrics", step=number, loss=loss, **figures)


def test_jobs_are_listed_with_what_they_do_or_wait_for(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMBECK_KEY", "lbk_secret")
    waiting = job("queued", id="job_2", waiting_for="no GPU worker is running")
    for arguments in (["jobs"], ["jobs", "list"]):
        with scripted([Say(200, page(job("running"), waiting))]) as server:
            options = ["--kind", "enrich", "--status", "running", "--url", server.url]
            assert main([*arguments, *options]) == 0
        assert server.seen[0].headers["authorization"] == "Bearer lbk_secret"
        assert "kind=enrich" in server.seen[0].path
        assert "status=running" in server.seen[0].path
        printed = capsys.readouterr().out
        assert re.search(r"job_1\s+enrich\s+running\s+2026-\S+ \S+\s+1/4 labels", printed)
        assert re.search(r"job_2\s+enrich\s+queued\s.*no GPU worker is running", printed)
    with scripted([Say(200, page(job("running")))]) as server:
        assert main(["jobs", "--json", "--url", server.url]) == 0
    assert [one["id"] for one in json.loads(capsys.readouterr().out)] == ["job_1"]


def test_a_job_is_shown_with_its_stages_and_results(capsys: Capture) -> None:
    progress = {"name": "training", "done": 30, "total": 120, "unit": "steps", "rate": 9.0, "eta_s": 10.0}
    shown = job(
        "running",
        stages=[{"stage": "train", **progress}],
        spec={"dataset_id": "dst_1", "teacher": "ViT-B-32:openai", "config": {"a": 1}},
        spend=SPEND,
        result={"checkpoint_id": "ckp_1", "evaluation": {"id": {"accuracy": 0.9, "num_images": 60, "num_labels": 3}}},
    )
    with scripted([Say(200, shown)]) as server:
        assert main(["jobs", "show", "job_1", "--url", server.url]) == 0
    printed = capsys.readouterr().out
    for line in (
        r"status +running: 1/4 labels",
        r"dataset +dst_1",
        r"teacher +ViT-B-32:openai",
        r"checkpoint +ckp_1",
        r"accuracy, seen +90.0% of 60 images, 3 labels",
        r"spending +\$0.01 spent",
        r"training +30 +120 +steps +9.0/s, 0:10 left",
    ):
        assert re.search(line, printed), printed
    with scripted([Say(200, shown)]) as server:
        assert main(["jobs", "show", "job_1", "--json", "--url", server.url]) == 0
    assert json.loads(capsys.readouterr().out)["spec"]["config"] == {"a": 1}


def test_events_are_printed_as_lines_or_json(capsys: Capture) -> None:
    events = page(event(5, "[red]odd[/red]", level="warning"))
    for options in ([], ["--json"]):
        with scripted([Say(200, events)]) as server:
            assert main(["jobs", "events", "job_1", "--after", "4", *options, "--url", server.url]) == 0
        assert "after=4" in server.seen[0].path
    lines, document = capsys.readouterr().out.split("\n", 1)
    assert lines.endswith("warning [red]odd[/red]")
    assert [one["id"] for one in json.loads(document)] == [5]


def test_several_jobs_are_cancelled_and_unknown_ones_are_named(capsys: Capture) -> None:
    script = [
        Say(202, job("cancelling")),
        problem(404, "job_not_found"),
        Say(202, job("succeeded", id="job_3")),
    ]
    with scripted(script) as server:
        assert main(["cancel", "job_1", "job_2", "job_3", "job_1", "--url", server.url]) == 2
    printed = capsys.readouterr()
    assert printed.out == "job_1 cancelling\njob_3 had already succeeded\n"
    assert printed.err == "limbeck: there is no job job_2\n"
    with scripted([Say(202, job("cancelled"))]) as server:
        assert main(["cancel", "job_1", "--json", "--url", server.url]) == 0
    assert json.loads(capsys.readouterr().out)[0]["status"] == "cancelled"


def test_watch_prints_messages_lines_of_progress_and_the_curve(capsys: Capture) -> None:
    progress = {"name": "training", "done": 2, "total": 4, "unit": "steps", "rate": 9.0, "eta_s": 1.0}
    running = job("running", kind="distill", progress=progress)
    ended = job("succeeded", kind="distill", progress=progress, result={"checkpoint_id": "ckp_1"})
    measured = event(9, "epoch 2: accuracy 81.0% on seen labels", "metrics", epoch=2, accuracy={"id": 0.81})
    script = [
        Say(200, running),
        Say(200, running),
        Say(200, page(event(1, "training starts with step 1 of 4"), step(2, 1, 4.0), step(3, 3, 3.5))),
        Say(200, ended),
        # The worker died and resumed from the state of step 1.
        Say(200, page(step(6, 2, 3.0), step(7, 3, 2.0), step(8, 4, 1.0), measured)),
    ]
    with scripted(script) as server:
        assert main(["watch", "job_1", "--url", server.url]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "distill job job_1: running"
    assert lines[1].endswith("info    training starts with step 1 of 4")
    assert lines[2].startswith("training: 2/4 steps, 9.0/s, 0:01 left; loss 3.5, learning rate 0.001, 350 images/s")
    assert lines[3] == "loss, steps 1 to 4"
    assert lines[4].startswith("        4 ")
    assert lines[-3].startswith("        1 ")
    assert lines[-2] == (
        "loss 1, learning rate 0.001, 350 images/s, waiting for images 2%, epoch 2: accuracy 81.0% on seen labels"
    )
    assert lines[-1] == "checkpoint: ckp_1"
    assert "after=3" in server.seen[4].path


def test_a_watched_job_that_failed_has_exit_code_1(capsys: Capture) -> None:
    ended = job("failed", error={"code": "worker_lost", "message": "its worker stopped responding"})
    script = [Say(200, ended), Say(200, ended), Say(200, page(event(1, "[red]odd[/red]", level="warning")))]
    with scripted(script) as server:
        code = main(["watch", "job_1", "--url", server.url])
    printed = capsys.readouterr()
    assert code == 1
    assert "[red]odd[/red]" in printed.out
    assert printed.err == "limbeck: enrich job job_1 failed: worker_lost: its worker stopped responding\n"


def test_a_watched_enrichment_is_shown_with_its_reasons_and_exit_code_3(capsys: Capture) -> None:
    result = {"caption_set_id": "cps_1", "num_images": 3, "num_captioned": 2, "failed_images": {"unreadable_image": 1}}
    ended = job("succeeded", result=result)
    with scripted([Say(200, ended), Say(200, ended), Say(200, page())]) as server:
        assert main(["watch", "job_1", "--url", server.url]) == 3
    printed = capsys.readouterr()
    assert "2 of 3 images described as cps_1, 1 without attributes" in printed.out
    assert "remedy: Repair or remove the files" in printed.out
    assert printed.err == "limbeck: of 3 images, 1 without attributes; the reasons are above\n"


def test_an_unknown_job_is_one_line(capsys: Capture) -> None:
    for arguments in (["jobs", "show"], ["watch"]):
        with scripted([problem(404, "job_not_found", "there is no job job_9")]) as server:
            code, message = failed([*arguments, "job_9", "--url", server.url], capsys)
        assert (code, message) == (1, "limbeck: job_not_found: there is no job job_9\n")
