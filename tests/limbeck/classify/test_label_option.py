"""`--labels`: a label file of any form, or names separated by commas."""

from pathlib import Path

import pytest

from limbeck.classify.label_option import LabelsError, labels_of


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_names_are_separated_by_commas(folder: Path) -> None:
    assert labels_of("crane, grey heron ,,stork") == ["crane", "grey heron", "stork"]
    (folder / "crane, grey heron").write_text("swan\nduck\n")
    assert labels_of("crane, grey heron") == ["swan", "duck"]  # a file of that name


def test_label_files_of_any_form_are_read(folder: Path) -> None:
    (folder / "data.yaml").write_text("names:\n  0: tench\n  1: goldfish\n")
    assert labels_of("data.yaml") == ["tench", "goldfish"]
    (folder / "senses.txt").write_text("crane\tbird\ncrane\tmachine\nheron\n")
    assert labels_of("senses.txt") == ["crane (bird)", "crane (machine)", "heron"]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("", "no label is given"),
        (" , ,", "no label is given"),
        ("crane,heron,Crane", r'label "Crane" is given twice \(labels 1 and 3\)'),
        ("birds.txt", "birds.txt: no such file"),
        ("lists/birds", "lists/birds: no such file"),
        (".", r"\.: Is a directory"),
        ("crane,a\x07b", "control"),
        ("empty.txt", "empty.txt: has no labels"),
        ("twice.txt", "twice.txt: .*crane"),
    ],
)
def test_faults_are_named(folder: Path, option: str, message: str) -> None:
    (folder / "empty.txt").write_text("\n")
    (folder / "twice.txt").write_text("crane\nheron\ncrane\n")
    with pytest.raises(LabelsError, match=message):
        labels_of(option)
