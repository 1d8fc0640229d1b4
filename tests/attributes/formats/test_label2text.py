"""label2text.txt with sentences: errors name the line, and the published files are read and written unchanged."""

from pathlib import Path

import pytest

from attributes.formats.common import FormatError
from attributes.formats.label2text import (
    Label2Text,
    join_sentences,
    label2text_of,
    read_label2text,
    write_label2text,
    write_sentences,
)
from attributes.formats.limbeck_json import read_json, write_json
from attributes.types import Entry
from tests.attributes.formats.examples import BIRD, MACHINE, PLAIN

ROWS = "001.Red_Robin 1 Red_Robin\n002.Wren 2 Wren\n"


def test_read_label2text() -> None:
    rows = read_label2text(ROWS.replace("\n", "\r\n"))
    assert rows == [
        Label2Text(folder="001.Red_Robin", number=1, published="Red_Robin"),
        Label2Text(folder="002.Wren", number=2, published="Wren"),
    ]
    assert [row.name for row in rows] == ["Red Robin", "Wren"]


def test_blank_lines_at_the_end_of_label2text_are_no_rows() -> None:
    rows = read_label2text(f"{ROWS}\r\n \n\n")
    assert [row.name for row in rows] == ["Red Robin", "Wren"]
    assert [entry.sentence for entry in join_sentences(rows, "One.\nTwo.\n")] == ["One.", "Two."]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("001.A 1 A\n002.B 2\n", 2, "must be `folder number label`"),
        ("001.A 1 A\n\n002.B 2 B\n", 2, "must be `folder number label`"),
        ("001.A 1 A\n002.B two B\n", 2, "must be `folder number label`"),
        ("001.A 1 A\n001.A 2 a\n", 2, 'label "a" is also on line 1, with the same folder'),
        ("001.A 1 _\n", 1, "is blank"),
    ],
)
def test_errors_in_label2text_name_the_line(text: str, line: int, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        read_label2text(text)
    assert message in str(caught.value)
    assert caught.value.line == line
    assert str(caught.value).startswith(f"label2text line {line}: ")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("One.\n", 2, "has 1 line for 2 labels"),
        ("One.\nTwo.\nThree.\n", 3, "has 3 lines for 2 labels"),
        ("One.\nTwo.\n\n", 3, "has 3 lines for 2 labels"),
        ("One.\n" + "x" * 6_000, 2, "has 6000 characters"),
    ],
)
def test_errors_in_sentences_name_the_line(text: str, line: int, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        join_sentences(read_label2text(ROWS), text)
    assert message in str(caught.value)
    assert caught.value.line == line
    assert str(caught.value).startswith(f"sentences line {line}: ")


def test_an_empty_line_is_an_empty_sentence() -> None:
    entries = join_sentences(read_label2text(ROWS), "\nSmall and brown.\n")
    assert [(entry.sentence, entry.flags) for entry in entries] == [("", ("empty",)), ("Small and brown.", ())]
    assert write_sentences(entries) == ".\nSmall and brown.\n"


def test_labels_keep_their_rows_and_others_are_numbered() -> None:
    rows = [Label2Text(folder="colts_foot", number=7, published="colt's_foot")]
    assert label2text_of([PLAIN, BIRD, MACHINE], rows) == [
        rows[0],
        Label2Text(folder="002.crane_(bird)", number=2, published="crane_(bird)"),
        Label2Text(folder="003.crane_(machine)", number=3, published="crane_(machine)"),
    ]


def check_published_files(folder: Path, *, num_labels: int, empty_lines: list[int]) -> list[Entry]:
    """Read label2text.txt and chatgpt.txt of `folder`, check that they are written back unchanged, return the entries.

    `empty_lines` are the lines (from 1) whose sentence is only `.`.
    """
    labels, sentences = ((folder / name).read_text(encoding="utf-8") for name in ("label2text.txt", "chatgpt.txt"))
    rows = read_label2text(labels)
    entries = join_sentences(rows, sentences)
    assert len(entries) == num_labels
    assert write_label2text(rows) == labels
    assert write_sentences(entries) == sentences
    assert [i for i, entry in enumerate(entries, start=1) if "empty" in entry.flags] == empty_lines
    assert all(entries[i - 1].flags == ("empty",) and entries[i - 1].sentence == "." for i in empty_lines)
    reread = read_json("".join(write_json(entries))).entries
    assert reread == entries
    assert [entry.label.replace(" ", "_") for entry in reread] == [row.published.rstrip("_") for row in rows]
    return entries


def test_the_published_bird_files_are_written_back_unchanged(cub: Path) -> None:
    entries = check_published_files(cub, num_labels=200, empty_lines=[98, 108])
    assert entries[0].label == "Black footed Albatross"
    assert [entry.label for entry in entries if "meta_text" in entry.flags] == ["Sayornis"]
    assert entries[0].sentence.startswith("The Black-footed Albatross has")


def test_the_published_flower_files_are_written_back_unchanged(flowers: Path) -> None:
    entries = check_published_files(flowers, num_labels=102, empty_lines=[45])
    assert entries[1].label == "hard-leaved pocket orchid"
