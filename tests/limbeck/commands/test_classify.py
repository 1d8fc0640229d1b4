"""`limbeck classify`."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from limbeck.cli import main
from tests.limbeck.small_bundle import add_thresholds, change_config

Capture = pytest.CaptureFixture[str]


def refused(capsys: Capture, *arguments: str | Path) -> str:
    """The one line on stderr of invalid input."""
    assert main(["classify", *map(str, arguments)]) == 2
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1, printed.err
    return printed.err


def test_json_lines_have_a_line_for_each_image(bundle: Path, red: Path, blue: Path, capsys: Capture) -> None:
    assert main(["classify", str(bundle), "--top", "1", "--json", str(red), str(blue)]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["image"], line["labels"][0]["label"]) for line in lines] == [
        (str(red), "red thing"),
        (str(blue), "blue thing"),
    ]


def test_folder_is_printed_as_csv(bundle: Path, red: Path, blue: Path, capsys: Capture) -> None:
    (red.parent / "photos").mkdir()
    for number, path in enumerate((red, blue, red)):
        os.link(path, red.parent / "photos" / f"{number}.png")
    assert main(["classify", str(bundle), str(red.parent / "photos"), "--format", "csv", "--top", "1"]) == 0
    rows = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert [row["label"] for row in rows] == ["red thing", "blue thing", "red thing"]


def test_image_on_standard_input(bundle: Path, red: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(red.read_bytes())))
    assert main(["classify", str(bundle), "-"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("-      red thing")


def test_list_of_images(bundle: Path, red: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "list.txt").write_text(f"{red}\n{red}\n")
    assert main(["classify", str(bundle), "--from-file", str(tmp_path / "list.txt"), "--json"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_threshold_of_the_bundle_or_of_the_user(bundle: Path, red: Path, capsys: Capture) -> None:
    assert main(["classify", str(bundle), str(red)]) == 0
    assert "4.0% are wrongly called so" in capsys.readouterr().out
    assert main(["classify", str(bundle), str(red), "--no-threshold"]) == 0
    assert "none of these" not in capsys.readouterr().out
    grey = red.with_name("grey.png")
    assert main(["classify", str(bundle), str(red), "--threshold", "1"]) in (0, 1)
    assert "at least 1.000\n" in capsys.readouterr().out
    assert not grey.exists()
    assert "exclude each other" in refused(capsys, bundle, red, "--threshold", "0.1", "--no-threshold")


def test_another_score_with_its_threshold(bundle: Path, red: Path, capsys: Capture) -> None:
    assert "no threshold of the score energy: add it" in refused(capsys, bundle, red, "--score", "energy")
    assert "choose cosine, energy, outliers" in refused(capsys, bundle, red, "--score", "logit")
    assert "--threshold 1.5: give a cosine, -1 to 1" in refused(capsys, bundle, red, "--threshold", "1.5")
    assert "--threshold nan" in refused(capsys, bundle, red, "--threshold", "nan", "--score", "energy")
    add_thresholds(bundle, energy=1.25)
    for options, is_none in ([], True), (["--threshold", "0.5"], False), (["--no-threshold"], None):
        assert main(["classify", str(bundle), str(red), "--score", "energy", "--json", *options]) == 0
        line = json.loads(capsys.readouterr().out)
        assert (line.get("none_of_these"), line["energy"] >= line["cosine"]) == (is_none, True)
    assert main(["classify", str(bundle), str(red), "--score", "energy"]) == 0
    footer = "none of these: the score energy is below 1.250. Of 900 held-out images of known labels, 3.0% are wrongly"
    assert footer in capsys.readouterr().out
    assert main(["classify", str(bundle), str(red), "--score", "energy", "--format", "csv"]) == 0
    (row, *_) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (row["none_of_these"], float(row["energy"])) == ("true", pytest.approx(line["energy"], abs=1e-6))


def test_own_labels(bundle_with_text: Path, red: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "labels.csv").write_text("label,colour\nred,1\nblue,2\n")
    for labels in ("blue,red", str(tmp_path / "labels.csv")):
        assert main(["classify", str(bundle_with_text), str(red), "--labels", labels, "--json"]) == 0
        line = json.loads(capsys.readouterr().out)
        assert [one["label"] for one in line["labels"]] == ["red", "blue"]
        assert "none_of_these" not in line


def test_note_about_learned_vectors(bundle_with_text: Path, red: Path, capsys: Capture) -> None:
    config = json.loads((bundle_with_text / "onnx" / "config.json").read_text())
    change_config(bundle_with_text, text={**config["text"], "learned_vectors": 4})
    assert main(["classify", str(bundle_with_text), str(red), "--labels", "red,blue"]) == 0
    assert "new labels are written by its templates\n" in capsys.readouterr().err


def test_an_unreadable_image_does_not_stop_the_others(bundle: Path, red: Path, capsys: Capture) -> None:
    broken = bundle / "broken.png"
    broken.write_bytes(b"not an image")
    assert main(["classify", str(bundle), str(broken), str(red)]) == 2
    printed = capsys.readouterr()
    assert printed.out.splitlines()[1].startswith(f"{red}")
    assert f"limbeck: {broken}: it is a text file\n" in printed.err
    assert printed.err.endswith("limbeck: 1 of 2 images could not be read\n")


def test_verify_compares_every_file(bundle: Path, red: Path, capsys: Capture) -> None:
    assert main(["classify", str(bundle), str(red), "--verify"]) == 0
    (bundle / "README.md").write_text("# Another student\n")
    assert main(["classify", str(bundle), str(red)]) == 0  # the file is not used
    capsys.readouterr()
    (bundle / "extra.py").touch()
    message = refused(capsys, bundle, red, "--verify")
    assert "README.md has" in message
    assert "extra.py is not in the manifest" in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give at least one image or folder"),
        (["--format", "xml", "red.png"], "--format 'xml': choose table, jsonl, csv"),
        (["--among", "most", "red.png"], "--among 'most': choose all, seen, unseen"),
        (["--among", "seen", "--labels", "a,b", "red.png"], "--among chooses among the labels of the bundle"),
        (["--labels", "a,b,a", "red.png"], 'label "a" is given twice'),
        (["--labels", "", "red.png"], "no label is given"),
        (["--labels", "red", "red.png"], "has no onnx/text.onnx"),
        (["targets"], "targets holds no images"),
        (["--top", "0", "red.png"], "top"),
    ],
)
def test_invalid_input_is_one_line(
    bundle: Path, red: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(bundle)
    os.link(red, bundle / "red.png")
    assert message in refused(capsys, bundle, *arguments)


def test_folder_that_is_no_bundle_is_named(red: Path, tmp_path: Path, capsys: Capture) -> None:
    assert f"{tmp_path} holds no manifest.json" in refused(capsys, tmp_path, red)


def test_closed_output_ends_the_command_quietly(bundle: Path, red: Path) -> None:
    command = [sys.executable, "-m", "limbeck.cli", "classify", str(bundle), *[str(red)] * 50]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1
