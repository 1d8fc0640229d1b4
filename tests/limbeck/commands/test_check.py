"""`limbeck attributes report`: sets with and without a report, and exit codes."""

from typing import Any

import pytest

from attributes.gates.types import GATES
from limbeck.cli import main
from tests.limbeck.helpers import page
from tests.limbeck.scripted import Say, problem, scripted

Capture = pytest.CaptureFixture[str]


def gate(name: str, *, holds: bool) -> dict[str, Any]:
    line = {"id": "ab", "text": "a nocturnal [bird]", "words": ["nocturnal"]}
    violation = {"position": 4, "label": "Nighthawk", "lines": [line], "others": ["Owl"], "note": ""}
    return {
        "gate": name,
        "tells": name,
        "figure": 0.25,
        "threshold": 0.02,
        "unit": "share",
        "holds": holds,
        "status": "holds" if holds else "fails",
        "num_not_judged": 0,
        "num_labels": 0 if holds else 1,
        "judged_by": "our word list",
        "details": {},
        "worst": [] if holds else [violation],
    }


def report(*, holds: bool) -> dict[str, Any]:
    return {
        "object": "attribute_report",
        "attribute_set_id": "ats_1",
        "teacher": None,
        "num_labels": 5,
        "num_described": 5,
        "created_at": "2026-11-24T07:00:00Z",
        "num_lines": 30,
        "holds": holds,
        "status": "holds" if holds else "fails",
        "languages": {"en": 30},
        "gates": [gate(name, holds=holds or name != "nonvisual") for name in GATES],
    }


def job(status: str) -> dict[str, Any]:
    return {
        "object": "job",
        "id": "job_1",
        "kind": "check",
        "status": status,
        "stage": "report",
        "stages": [],
        "created_at": "2026-11-24T07:00:00Z",
        "started_at": None,
        "finished_at": None,
        "spec": {},
        "result": {},
        "error": None,
        "spend": None,
        "progress": {"done": 1, "total": 1, "unit": "labels", "eta_s": None},
    }


def test_exit_codes_of_a_passing_and_a_failing_set(capsys: Capture) -> None:
    with scripted([Say(body=report(holds=True)), Say(body=report(holds=False))]) as service:
        assert main(["attributes", "report", "ats_1", "--url", service.url]) == 0
        assert "Nighthawk" not in capsys.readouterr().out
        assert main(["attributes", "report", "ats_1", "--url", service.url]) == 1
    printed = capsys.readouterr().out
    assert "5 of 5 labels described, 30 lines" in printed
    assert "a nocturnal [bird] (nocturnal)" in printed
    assert "→ Owl" in printed


def test_a_set_without_a_report_is_checked_first(capsys: Capture) -> None:
    events = page()
    script = [
        problem(404, "report_not_found"),
        Say(202, job("queued")),
        Say(body=job("succeeded")),
        Say(body=events),
        Say(body=report(holds=True)),
    ]
    with scripted(script) as service:
        command = ["attributes", "report", "ats_1", "--teacher", "ViT-B-32:openai", "--json", "--url", service.url]
        assert main(command) == 0
        assert [request.method for request in service.seen] == ["GET", "POST", "GET", "GET", "GET"]
        assert b"ViT-B-32:openai" in service.seen[1].body
    assert '"attribute_set_id": "ats_1"' in capsys.readouterr().out


def test_an_unknown_set_is_reported_in_one_line(capsys: Capture) -> None:
    with scripted([problem(404, "attribute_set_not_found", "there is no attribute set ats_1")]) as service:
        assert main(["attributes", "report", "ats_1", "--url", service.url]) == 1
    assert "there is no attribute set ats_1" in capsys.readouterr().err
