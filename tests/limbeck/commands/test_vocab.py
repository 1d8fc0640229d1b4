"""`limbeck vocab`: reading files, and vocabularies of a service."""

import json
from pathlib import Path

import pytest

from limbeck.cli import main
from tests.limbeck.helpers import client, failed
from tests.limbeck.scripted import Say, scripted

Capture = pytest.CaptureFixture[str]


def test_labels_and_report(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "synsets.txt"
    file.write_text("n01440764 tench, Tinca tinca\nn02012849 crane\nn03126707 crane\n")
    assert main(["vocab", "read", str(file)]) == 0
    printed = capsys.readouterr()
    assert printed.out == "tench\ncrane\tn02012849\ncrane\tn03126707\n"
    assert printed.err.startswith(
        "read as plain text, one label per line; 3 labels; the wnid before each label is kept"
    )
    assert printed.err.count("\n") == 1
    assert main(["vocab", "read", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0] == {
        "name": "tench",
        "sense": None,
        "ids": {"wnid": "n01440764", "aliases": ["Tinca tinca"]},
    }


def test_the_output_is_read_as_the_same_labels(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "labels.json"
    file.write_text('{"id2label": {"0": "great grey owl", "1": "crane, bird"}}')
    assert main(["vocab", "read", str(file)]) == 0
    printed = capsys.readouterr().out
    again = tmp_path / "labels.txt"
    again.write_text(printed)
    assert main(["vocab", "read", str(again)]) == 0
    assert capsys.readouterr().out == printed


def test_a_file_that_cannot_be_used_is_one_line_and_exit_code_2(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "labels.txt"
    file.write_text("a\nA\nB\nb\n")
    code, line = failed(["vocab", "read", str(file)], capsys)
    assert code == 2
    assert 'line 2: label "A" is also on line 1' in line
    assert 'line 4: label "b" is also on line 3' in line
    code, line = failed(["vocab", "read", str(tmp_path / "missing.txt")], capsys)
    assert (code, "missing.txt: No such file" in line) == (2, True)


def test_the_client_can_preview_a_file() -> None:
    label = {"position": 0, "name": "crane", "sense": None, "ids": {"index": "0"}}
    preview = {"num_labels": 1, "read_as": "YAML", "notes": [], "warnings": [], "labels": [label]}
    with scripted([Say(200, preview)]) as server, client(server.url) as limbeck:
        found = limbeck.vocabularies.preview(b"names: [crane]", filename="data.yaml")
    assert (found.labels[0].name, found.labels[0].ids) == ("crane", {"index": "0"})
    assert server.seen[0].headers["content-type"] == "application/yaml"
    assert "dry_run=" in server.seen[0].path
