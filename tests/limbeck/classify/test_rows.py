"""Rows of the output: an aligned table, JSON lines and CSV."""

import csv
import io
import json
import os
from pathlib import Path

import pytest

from limbeck.classify import Classification, LoadedStudent, ScoredLabel, load_student
from limbeck.classify.bundle import NoneOfThese
from limbeck.classify.rows import Format, RowWriter, threshold_text

KNOWN = Classification((ScoredLabel("red thing", 0.61), ScoredLabel("blue thing", 0.201)), 0.75, False)
UNKNOWN = Classification((ScoredLabel("blue thing", 0.5),), 0.25, True)


@pytest.fixture
def student(bundle: Path) -> LoadedStudent:
    return load_student(bundle)


def written(student: LoadedStudent, format: Format, *rows: tuple[str, Classification]) -> str:
    out = io.StringIO()
    writer = RowWriter(out, format, [image for image, _ in rows], student)
    writer.begin()
    for image, found in rows:
        writer.write(image, found)
    writer.end()
    return out.getvalue()


def test_table_is_aligned_and_states_the_false_alarms(student: LoadedStudent) -> None:
    assert written(student, "table", ("photos/1.jpg", KNOWN), ("2.jpg", UNKNOWN)).splitlines() == [
        "image         label          confidence  next",
        "photos/1.jpg  red thing           61.0%  blue thing 20.1%",
        "2.jpg         none of these              blue thing 50.0%",
        "",
        "none of these: no label has a cosine of at least 0.500. "
        "Of 1,234 held-out images of known labels, 4.0% are wrongly called so",
    ]


def test_table_without_a_threshold_has_no_footer(student: LoadedStudent) -> None:
    without = student.with_threshold(None)
    assert written(without, "table", ("1.jpg", KNOWN)).splitlines()[-1].startswith("1.jpg  red thing")
    assert threshold_text(NoneOfThese(0.2)) == "none of these: no label has a cosine of at least 0.200"


def test_table_shows_a_damaged_name_on_one_line(student: LoadedStudent) -> None:
    name = os.fsdecode(b"caf\xe9\n.jpg")
    line = written(student, "table", (name, KNOWN)).splitlines()[1]
    assert line.startswith(r"caf\xe9\n.jpg  red thing")


def test_json_lines(student: LoadedStudent) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    first, second = map(json.loads, written(student, "jsonl", (name, KNOWN), ("2.jpg", UNKNOWN)).splitlines())
    assert first == {
        "image": name,
        "labels": [{"label": "red thing", "confidence": 0.61}, {"label": "blue thing", "confidence": 0.201}],
        "cosine": 0.75,
        "none_of_these": False,
    }
    assert second["none_of_these"] is True
    without = Classification(KNOWN.labels, 0.75, None)
    assert "none_of_these" not in json.loads(written(student, "jsonl", ("1.jpg", without)))


def test_csv_has_a_row_for_each_label(student: LoadedStudent) -> None:
    rows = list(csv.DictReader(io.StringIO(written(student, "csv", ('a,"b".jpg', KNOWN), ("2.jpg", UNKNOWN)))))
    assert [(row["image"], row["rank"], row["label"]) for row in rows] == [
        ('a,"b".jpg', "1", "red thing"),
        ('a,"b".jpg', "2", "blue thing"),
        ("2.jpg", "1", "blue thing"),
    ]
    assert rows[0] | {"confidence": "0.610000", "cosine": "0.750000", "none_of_these": "false"} == rows[0]
    assert rows[2]["none_of_these"] == "true"
