"""Label lists: duplicate labels, and errors that name the line."""

from pathlib import Path

import pytest

from distill.cli.label_files import read_labels


def test_each_line_is_a_label(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_text("\ufeffcrane\n\n  red  finch \nblue jay\n")
    assert read_labels(tmp_path / "l.txt") == ["crane", "red  finch", "blue jay"]


def test_labels_that_share_a_name_have_their_sense_and_the_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "l.json").write_text(
        '[{"name": "crane", "sense": "bird"}, {"name": "crane", "sense": "machine"}, "wren"]'
    )
    reports: list[str] = []
    labels = read_labels(tmp_path / "l.json", reports.append)
    assert labels == ["crane (bird)", "crane (machine)", "wren"]
    assert reports[0].startswith(f"{tmp_path / 'l.json'}: read as JSON list of objects; 3 labels; ")
    (tmp_path / "l.txt").write_text(f"{'x' * 150} ({'y' * 100})\nwren\n")
    assert read_labels(tmp_path / "l.txt") == [f"{'x' * 150} ({'y' * 100})", "wren"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("crane\nheron\nCrane\n", "line 3.*also on line 1"),
        ("crane\nhe\x07ron\n", r"line 2: label .*control character \(U\+0007\)"),
        ("crane\n", "1 label"),
        ("\xff\xff\xff\nna\xc3\xafve", "not UTF-8"),
        ("n01440764\nn01443537\n", "every label is a WordNet id"),
    ],
)
def test_unusable_label_lists_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "l.txt").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=message):
        read_labels(tmp_path / "l.txt")
    with pytest.raises(ValueError, match="cannot be read"):
        read_labels(tmp_path / "missing.txt")
