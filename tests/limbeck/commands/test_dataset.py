"""`limbeck dataset`: the list and the report, with a scripted service."""

import json

import pytest

from limbeck.cli import main
from tests.limbeck.commands.test_run import DATASET
from tests.limbeck.helpers import page
from tests.limbeck.scripted import Say, problem, scripted
from tests.limbeck.shared.images.test_report_text import REPORT

Capture = pytest.CaptureFixture[str]


def test_list(capsys: Capture) -> None:
    with scripted([Say(200, page({**DATASET, "warnings": ["a", "b"]}))]) as server:
        assert main(["dataset", "list", "--url", server.url]) == 0
    row = capsys.readouterr().out.splitlines()[1].split()
    assert row[:3] == ["dst_1", "200", "2"]


def test_report(capsys: Capture) -> None:
    with scripted([Say(200, REPORT.model_dump(mode="json"))] * 2) as server:
        assert main(["dataset", "report", "dst_1", "--url", server.url]) == 0
        assert "dst_1: 1,234 of 1,300 images are used" in capsys.readouterr().out
        assert main(["dataset", "report", "dst_1", "--json", "--url", server.url]) == 0
    assert json.loads(capsys.readouterr().out) == REPORT.model_dump(mode="json")
    assert server.seen[0].path == "/v1/datasets/dst_1/report"


def test_dataset_without_report(capsys: Capture) -> None:
    with scripted([problem(404, "dataset_report_not_found", "register its folder again")]) as server:
        assert main(["dataset", "report", "dst_1", "--url", server.url]) == 1
    assert "register its folder again" in capsys.readouterr().err


def test_labels_per_image_are_shown(capsys: Capture) -> None:
    with scripted([Say(200, {**DATASET, "labels_per_image": 1.5}), Say(200, DATASET)]) as server:
        assert main(["dataset", "show", "dst_1", "--url", server.url]) == 0
        assert "1.50" in next(
            line for line in capsys.readouterr().out.splitlines() if line.startswith("labels per image")
        )
        assert main(["dataset", "show", "dst_1", "--url", server.url]) == 0
        assert "labels per image" not in capsys.readouterr().out
