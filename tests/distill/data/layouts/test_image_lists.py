"""Image lists of a split: the label stands after the path, or is the folder."""

from pathlib import Path

import pytest

from tests.distill.data.helpers_index import LABELS, create
from tests.distill.data.layouts.helpers_tables import scan_source, source_error

SPLIT = {"by": "image_lists", "train": "train.txt", "ood": "ood.txt"}
ROW = "Layouts and tables"


def write(root: Path, train: str, ood: str) -> Path:
    create(root, "a/1.jpg", "a/2.jpg", "b c/3.jpg")
    (root / "train.txt").write_text(train)
    (root / "ood.txt").write_text(ood)
    return root


@pytest.mark.parametrize(
    ("train", "ood"),
    [
        pytest.param(
            "a/1.jpg crane\na/2.jpg red finch\n",
            "b c/3.jpg blue jay\n",
            id="names",
            marks=pytest.mark.image_input(ROW, "lists of a split with a label after each path", "that label is used"),
        ),
        pytest.param("a/1.jpg,crane\n\na/2.jpg;Red_Finch\n", "b c/3.jpg\tblue jay", id="separators"),
        pytest.param("/a/1.jpg crane\n./a/2.jpg red finch\n", "/b c/3.jpg blue jay\n", id="slash"),
    ],
)
def test_labels_stand_after_the_path(tmp_path: Path, train: str, ood: str) -> None:
    items = scan_source(write(tmp_path, train, ood), SPLIT).image_index
    assert [(item.path, LABELS[item.label], item.part) for item in items] == [
        ("a/1.jpg", "crane", "train"),
        ("a/2.jpg", "red finch", "train"),
        ("b c/3.jpg", "blue jay", "ood"),
    ]


@pytest.mark.image_input(
    ROW, "lists of `path index`, as in Caffe and Places", "refused unless `labels_are` says the first index"
)
def test_indices_count_from_a_stated_number(tmp_path: Path) -> None:
    write(tmp_path, "a/1.jpg 2\na/2.jpg 3\n", "b c/3.jpg 4\n")
    assert "give images.label_names" in source_error(tmp_path, SPLIT).detail
    items = scan_source(tmp_path, SPLIT, labels_are="indices_from_1").image_index
    assert [LABELS[item.label] for item in items] == ["crane", "red finch", "blue jay"]
    error = source_error(tmp_path, SPLIT, labels_are="indices_from_0")
    assert (error.code, error.pointer) == ("bad_index", "/images/labels_are")
    assert '1 label is no index from 0 to 3 ("4")' in error.detail


@pytest.mark.parametrize(
    ("train", "ood", "code", "message"),
    [
        ("a/1.jpg crane\na/2.jpg\n", "b c/3.jpg\n", "no_label", "train.txt line 2 has no label after its path"),
        ("a/1.jpg crane\na/1.jpg crane\n", "b c/3.jpg\n", "image_twice", "train.txt line 1 and train.txt line 2"),
        ("a/1.jpg crane\na/2.jpg red finch", "a/1.jpg blue jay", "image_twice", "train.txt line 1 and ood.txt line 1"),
        ("a/1.jpg crane\na/1.jpg red finch", "b c/3.jpg blue jay", "several_labels", "1 of 2 images have several"),
        ("a/1.jpg crane\na/8.jpg\ncrane", "", "no_label", "line 2"),
        ("a/7.jpg crane\na/8.jpg crane\n", "b c/3.jpg crane", "missing_image", "2 of 2 images are missing"),
    ],
    ids=["mixed", "repeated", "parts", "several", "order", "missing"],
)
def test_faulty_lists_are_named(tmp_path: Path, train: str, ood: str, code: str, message: str) -> None:
    error = source_error(write(tmp_path, train, ood), SPLIT)
    assert error.code == code
    assert message in error.detail


def test_missing_images_of_lists_are_skipped_by_choice(tmp_path: Path) -> None:
    write(tmp_path, "a/1.jpg crane\na/2.jpg red finch\na/9.jpg crane\n", "b c/3.jpg blue jay\n")
    scanned = scan_source(tmp_path, SPLIT, missing="skip")
    assert len(scanned.image_index) == 3
    assert scanned.listing.skipped.examples == {"missing": ['train.txt: "a/9.jpg" on line 3']}
