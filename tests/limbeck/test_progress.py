"""The lines of a job that is followed without a terminal, and the bar on one."""

import io
from typing import Any

import pytest
from rich.console import Console

from limbeck import progress
from limbeck.errors import JobFailed
from limbeck.models import Job
from limbeck.progress import display_for, follow
from tests.limbeck.helpers import client, job, page
from tests.limbeck.scripted import Say, scripted

TEXTS = {"stage": "encode", "name": "texts", "done": 4, "total": 4, "unit": "texts", "rate": None, "eta_s": None}
FEATURES = {**TEXTS, "stage": "train", "name": "teacher features", "done": 12, "total": 12, "unit": "images"}
TRAINING = {**FEATURES, "name": "training", "done": 30, "total": 120, "unit": "steps", "rate": 9.0, "eta_s": 10.0}
EVALUATION = {**TEXTS, "stage": "evaluate", "name": "evaluation", "done": 0, "total": 0, "unit": ""}


def at(current: dict[str, Any], *stages: dict[str, Any], status: str = "running", **more: Any) -> dict[str, Any]:
    """The JSON of a distill job whose current stage is `current`."""
    shown = {name: value for name, value in current.items() if name != "stage"}
    return job(status, kind="distill", stage=current["stage"], progress=shown, stages=[*stages], **more)


WAITING = at({**TEXTS, "done": 0}, {**TEXTS, "done": 0}, status="queued", waiting_for="no GPU worker is running")
STATES = [
    WAITING,
    WAITING,
    at({**TEXTS, "done": 1}, {**TEXTS, "done": 1}, EVALUATION),
    at({**FEATURES, "done": 6}, TEXTS, {**FEATURES, "done": 6}, EVALUATION),
    at(TRAINING, TEXTS, FEATURES, TRAINING, EVALUATION),
    at({**TRAINING, "done": 60}, TEXTS, FEATURES, {**TRAINING, "done": 60}, EVALUATION),
    at(EVALUATION, TEXTS, FEATURES, {**TRAINING, "done": 120}, EVALUATION, status="succeeded"),
]


def lines_of(states: list[dict[str, Any]], **options: Any) -> list[str]:
    """The plain lines for these states of a job."""
    out = io.StringIO()
    with display_for(Console(file=out, width=60), **options) as display:
        for state in states:
            display.show(Job.model_validate(state))
    return out.getvalue().splitlines()


def test_without_a_terminal_a_line_tells_of_each_change(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lines_of(STATES) == [
        "queued: no GPU worker is running",
        "texts: 1/4 texts",
        "texts: 4/4 texts in 0:00",
        "teacher features: 6/12 images",
        "teacher features: 12/12 images in 0:00",
        "training: 30/120 steps, 9.0/s, 0:10 left",
        "training: 120/120 steps in 0:00",
    ]
    monkeypatch.setattr(progress, "LINE_INTERVAL_S", 0.0)  # so much time has passed
    repeated = lines_of(STATES, figures=lambda: "loss 1.5", is_new=False)
    assert repeated.count("queued: no GPU worker is running; loss 1.5") == 2
    assert "training: 60/120 steps, 9.0/s, 0:10 left; loss 1.5" in repeated
    assert "texts: 4/4 texts" in repeated  # when it began is not known


def test_a_followed_job_has_its_id_first_and_its_warnings() -> None:
    warning = {
        "id": 7,
        "at": "2026-11-23T21:04:05Z",
        "level": "warning",
        "type": "message",
        "message": "3 texts were [shortened]",
        "data": {},
    }
    ended = {**STATES[-1], "status": "failed", "error": {"code": "worker_lost", "message": "gone"}}
    script = [Say(200, STATES[4]), Say(200, page(warning)), Say(200, ended), Say(200, page())]
    out = io.StringIO()
    with scripted(script) as server, client(server.url) as limbeck, pytest.raises(JobFailed):
        follow(limbeck, Job.model_validate(STATES[0]), Console(file=out, width=40), title="distil the student")
    assert out.getvalue().splitlines() == [
        "distil the student: distill job job_1",
        "texts: 4/4 texts",
        "teacher features: 12/12 images",
        "training: 30/120 steps, 9.0/s, 0:10 left",
        "warning 3 texts were [shortened]",
        "training: 120/120 steps in 0:00",
    ]
    assert [one.path for one in server.seen][-1] == "/v1/jobs/job_1/events?limit=1000&after=7"


def test_on_a_terminal_a_bar_shows_the_stage_or_what_the_job_waits_for() -> None:
    out = io.StringIO()
    console = Console(file=out, width=100, force_terminal=True, legacy_windows=False, color_system=None)
    with display_for(console, above=lambda: ["the curve"]) as display:
        for state in STATES:
            display.show(Job.model_validate(state))
            display._bar.refresh()  # type: ignore[attr-defined]
    shown = out.getvalue()
    assert "queued: no GPU worker is running" in shown
    assert "training" in shown
    assert "30/120 steps, 9.0/s, 0:10 left" in shown
    assert "the curve" in shown
    assert "teacher features: 12/12 images in 0:00\n" in shown


def test_a_job_between_two_parts_waits() -> None:
    between = at(TEXTS, TEXTS, status="running", waiting_for="the next free GPU worker takes it")
    assert lines_of([between]) == ["waiting: the next free GPU worker takes it"]
