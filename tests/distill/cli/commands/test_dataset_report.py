"""The check of the images in `python -m distill`, and `python -m distill report`."""

import io
import json
import shutil
from pathlib import Path

import pytest

from distill import __main__ as program
from distill.cli.arguments import read_arguments
from distill.cli.check_images import check_images
from distill.cli.console import Console
from distill.cli.train_process import main
from limbeck.shared.images.dataset_report import DatasetReport

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def faulty(command: list[str], tmp_path: Path) -> list[str]:
    """A command line for images of which one is damaged, and one of an unseen label is a copy of a seen one."""
    crane, heron = tmp_path / "images" / "crane", tmp_path / "images" / "heron"
    (crane / "001.jpg").write_bytes(b"no picture")
    shutil.copyfile(crane / "004.jpg", heron / "004.jpg")
    split = {"by": "list", "id": ["crane", "blue jay"], "ood": ["heron", "red finch"]}
    return [*command, "--split", json.dumps(split)]


def report_arguments(command: list[str], tmp_path: Path) -> list[str]:
    given = dict(zip(command[::2], command[1::2], strict=True))  # each option has a value
    names = ("--images", "--labels", "--split")
    return ["report", *(text for name in names for text in (name, given[name])), "--json", str(tmp_path / "r.json")]


def test_copies_are_refused_before_a_model_is_loaded(faulty: list[str], tmp_path: Path, capsys: Capture) -> None:
    assert main(faulty) == 2
    printed = capsys.readouterr().err
    assert "1 picture is in more than one part of the dataset" in printed
    assert "teacher" not in printed
    assert main(faulty) == 2  # the cache of the refused run does not make its folder one of other files
    assert "1 picture is in more than one part of the dataset" in capsys.readouterr().err


def test_small_images_are_a_note(command: list[str]) -> None:
    arguments = read_arguments([*command, "--set", "image_px=64"])
    checked = check_images(arguments, Console(io.StringIO()), lambda: False)
    assert checked.arguments.notes[-1] == "32 of 32 images are smaller than the student's 64 px"
    assert checked.dataset.image_index.digest == arguments.image_index.digest


@pytest.mark.slow
def test_a_run_trains_without_damaged_files_and_copies(faulty: list[str], tmp_path: Path, capsys: Capture) -> None:
    assert main([*faulty, "--duplicates", "move"]) == 0
    printed = capsys.readouterr().err
    assert "warning: left out 1 image that cannot be decoded, such as crane/001.jpg" in printed
    assert "left out " + str(tmp_path) not in printed  # a summary, not a line for each file
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert list(report["bad_images"]) == [str(tmp_path / "images" / "crane" / "001.jpg")]
    assert report["student"]["ood"]["num_images"] == 15
    found = DatasetReport.model_validate_json((tmp_path / "out" / "work" / "dataset.json").read_bytes())
    assert (found.num_images, found.num_used, found.duplicates) == (32, 30, "move")


def test_report_refuses_nothing_and_names_everything(faulty: list[str], tmp_path: Path, capsys: Capture) -> None:
    assert program.main(report_arguments(faulty, tmp_path)) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for text in ("31 of 32 images are used", "crane/001.jpg", "same content", "warning: left out 1"):
        assert text in printed, text
    report = DatasetReport.model_validate_json((tmp_path / "r.json").read_bytes())
    assert report.duplicate_images is not None
    assert (report.duplicate_images.exact.across_parts, report.duplicate_images.exact.num_left_out) == (1, 0)


def test_report_of_unusable_input_is_one_line(command: list[str], tmp_path: Path, capsys: Capture) -> None:
    arguments = ["report", "--images", str(tmp_path / "nowhere"), "--labels", str(tmp_path / "labels.txt")]
    assert program.main(arguments) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: there is no folder")
    assert program.main(["report", "--images", "x"]) == 2
    assert capsys.readouterr().err == "error: give either --labels or --label2text\n"


def test_contradictory_options_are_one_line(command: list[str], capsys: Capture) -> None:
    assert main([*command, "--check", "names", "--duplicates", "move"]) == 2
    assert 'error: duplicates: "move" needs check "full"' in capsys.readouterr().err
