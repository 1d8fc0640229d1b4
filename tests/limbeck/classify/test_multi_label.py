"""A student of images with several labels: all labels above the threshold, or none; rows in every format."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from limbeck.classify import BundleError, LoadedStudent, load_student
from limbeck.classify.rows import Format, RowWriter
from limbeck.cli import main
from tests.limbeck.small_bundle import COLOURS, write_manifest

THRESHOLD: dict[str, Any] = {
    "threshold": -0.5,
    "slope": 4.0,
    "intercept": 0.5,
    "decisions": {"precision": 0.81, "recall": 0.772, "f1": 0.79},
    "num_images": 1234,
    "num_labels": 3,
}


def make_multi_label(bundle: Path, **changes: Any) -> Path:
    """The bundle with the evaluation of a multi-label student."""
    threshold = None if changes.get("threshold", 0) is None else {**THRESHOLD, **changes}
    found = {"id": None, "ood": None, "joint": None, "threshold": threshold}
    (bundle / "evaluation.json").write_text(json.dumps({"id": None, "ood": None, "multi_label": found}))
    write_manifest(bundle)
    return bundle


def cosines(student: LoadedStudent, image: Path) -> dict[str, float]:
    return dict(zip(student.labels, (student.targets @ student.embed([image])[0]).tolist(), strict=True))


def test_all_labels_above_the_threshold_are_shown(bundle: Path, red: Path) -> None:
    student = load_student(make_multi_label(bundle))
    of_image = cosines(student, red)
    found = student.classify(red)
    assert [one.label for one in found.labels] == sorted(
        (label for label, cosine in of_image.items() if cosine >= -0.5), key=lambda label: -of_image[label]
    )
    assert len(found.labels) == 2  # all but the opposite of red
    for one in found.labels:
        assert one.confidence == pytest.approx(1 / (1 + np.exp(-(4 * of_image[one.label] + 0.5))), abs=1e-6)
    assert (found.none_of_these, found.nearest) == (False, None)
    assert [one.label for one in student.classify(red, top=1).labels] == ["red thing"]


def test_an_image_can_have_none_of_the_labels(bundle: Path, red: Path) -> None:
    student = load_student(make_multi_label(bundle, threshold=1.5))
    found = student.classify(red)
    assert (found.labels, found.none_of_these) == ((), True)
    assert found.nearest is not None
    assert found.nearest.label == "red thing"
    assert found.cosine == pytest.approx(1, abs=1e-5)


def test_a_label_at_the_threshold_counts(bundle: Path, red: Path) -> None:
    student = load_student(make_multi_label(bundle))
    exact = cosines(student, red)["red thing"]
    assert [one.label for one in student.with_threshold(exact).classify(red).labels] == ["red thing"]
    assert student.with_threshold(np.nextafter(np.float32(exact), np.float32(2))).classify(red).none_of_these is True


def test_candidates_and_new_labels_keep_the_threshold(bundle_with_text: Path, red: Path) -> None:
    make_multi_label(bundle_with_text)
    seen = load_student(bundle_with_text, among="seen")
    assert [one.label for one in seen.classify(red).labels] == ["red thing"]
    unseen = load_student(bundle_with_text, among="unseen").with_threshold(0.99)
    assert unseen.classify(red).none_of_these is True
    new = load_student(bundle_with_text).with_labels(["blue", "red"])
    assert [one.label for one in new.with_threshold(0.99).classify(red).labels] == ["red"]


def test_a_student_without_a_threshold_asks_for_one(bundle: Path, red: Path) -> None:
    student = load_student(make_multi_label(bundle, threshold=None))
    with pytest.raises(BundleError, match="has no threshold of its labels"):
        student.classify(red)
    found = student.with_threshold(0.9).classify(red)
    assert [one.label for one in found.labels] == ["red thing"]
    assert found.labels[0].confidence > 0.5  # one half at the threshold
    with pytest.raises(ValueError, match="would have all of them"):
        student.with_threshold(None)


def test_a_damaged_threshold_is_named(bundle: Path) -> None:
    make_multi_label(bundle, slope="steep")
    with pytest.raises(BundleError, match="multi_label that has no threshold"):
        load_student(bundle)


def written(student: LoadedStudent, format: Format, *images: Path) -> str:
    out = io.StringIO()
    writer = RowWriter(out, format, [image.name for image in images], student)
    writer.begin()
    for image in images:
        writer.write(image.name, student.classify(image))
    writer.end()
    return out.getvalue()


@pytest.fixture
def student(bundle: Path) -> LoadedStudent:
    return load_student(make_multi_label(bundle, threshold=0.9))


@pytest.fixture
def green(red: Path) -> Path:
    Image.new("RGB", (40, 40), (60, 220, 60)).save(red.with_name("green.png"))
    return red.with_name("green.png")


def test_table(student: LoadedStudent, red: Path, green: Path) -> None:
    lines = written(student, "table", red, green).splitlines()
    assert lines[0].split() == ["image", "labels"]
    assert lines[1].split(maxsplit=1) == ["red.png", f"red thing {student.classify(red).labels[0].confidence:.1%}"]
    assert "none of these (nearest: " in lines[2]
    assert lines[4] == (
        "labels: those with a cosine of at least 0.900. On 1,234 held-out images, 81.0% of such seen labels are right, "
        "and 77.2% of the right ones are found"
    )
    own = written(student.with_threshold(0.2), "table", red).splitlines()
    assert own[-1] == "labels: those with a cosine of at least 0.200"


def test_json_lines_and_csv(student: LoadedStudent, red: Path, green: Path) -> None:
    first, second = map(json.loads, written(student, "jsonl", red, green).splitlines())
    assert ([one["label"] for one in first["labels"]], first["none_of_these"]) == (["red thing"], False)
    assert (second["labels"], second["none_of_these"]) == ([], True)
    rows = list(csv.DictReader(io.StringIO(written(student, "csv", red, green))))
    assert [(row["image"], row["rank"], row["label"], row["none_of_these"]) for row in rows] == [
        ("red.png", "1", "red thing", "false"),
        ("green.png", "", "", "true"),
    ]


def test_command(bundle: Path, red: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_multi_label(bundle)
    assert main(["classify", str(bundle), str(red)]) == 0
    shown = capsys.readouterr().out.splitlines()[1]
    assert all(label in shown for label in COLOURS)
    assert main(["classify", str(bundle), str(red), "--threshold", "0.9", "--json"]) == 0
    assert [one["label"] for one in json.loads(capsys.readouterr().out)["labels"]] == ["red thing"]
    assert main(["classify", str(bundle), str(red), "--no-threshold"]) == 2
    assert "--no-threshold: an image can have several labels" in capsys.readouterr().err
    make_multi_label(bundle, threshold=None)
    assert main(["classify", str(bundle), str(red)]) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert "has no threshold of its labels, which needs 20 held-out images: give --threshold" in printed
