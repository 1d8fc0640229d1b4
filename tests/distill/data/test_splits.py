"""Splits: disjoint labels, reproducible choices, and each kind of specification."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from distill.data.image_index import Item
from distill.data.splits import SPLIT
from tests.distill.data.helpers_index import LABELS, create, create_ten, scan_error, scan_with


def test_split_by_seed_is_class_disjoint_and_complete(tmp_path: Path) -> None:
    create_ten(tmp_path, "001.Black_footed_Albatross", "CRANE/deep", "red-finch", "blue_jay")
    create(
        tmp_path, "crane/notes.txt", "crane/.hidden.jpg", "labels.txt", ".cache/x.jpg", "crane/a.PNG", "crane/b.webp"
    )
    (tmp_path / "CRANE").rename(tmp_path / "crane" / "more")
    image_index = scan_with(tmp_path, {"by": "seed", "seed": 3})
    assert len(image_index) == 42
    assert set(image_index.id_labels) | set(image_index.ood_labels) == {0, 1, 2, 3}
    assert len(image_index.id_labels) == len(image_index.ood_labels) == 2
    for label in image_index.id_labels:
        parts = [item.part for item in image_index if item.label == label]
        assert parts.count("held_out") == int(len(parts) * 0.3 + 0.5)
        assert parts.count("train") == len(parts) - parts.count("held_out")
    assert {item.part for item in image_index if item.label in image_index.ood_labels} == {"ood"}
    assert image_index.file(0).is_file()


def test_split_does_not_depend_on_order_or_place_on_disk(tmp_path: Path) -> None:
    folders = ["crane", "red finch", "blue jay"]
    one = scan_with(create_ten(tmp_path / "one", *folders), {"by": "seed"})
    two = scan_with(create_ten(tmp_path / "two", *reversed(folders)), {"by": "seed"})
    assert one.items == two.items
    assert one.digest == two.digest
    other = scan_with(tmp_path / "two", {"by": "seed", "seed": 1})
    assert other.digest != one.digest


def test_added_image_changes_the_part_of_few_others(tmp_path: Path) -> None:
    create_ten(tmp_path, "crane", "red finch")
    before = set(scan_with(tmp_path, {"by": "seed", "id_fraction": 1}))
    create(tmp_path, "crane/new.jpg")
    after = set(scan_with(tmp_path, {"by": "seed", "id_fraction": 1}))
    assert len(before - after) <= 1


def test_split_by_list_ignores_other_labels(tmp_path: Path) -> None:
    create_ten(tmp_path, "crane", "red finch", "blue jay", "Black footed Albatross")
    split = {"by": "list", "id": ["crane", "Red_Finch"], "ood": ["blue jay"], "held_out": 0.2}
    image_index = scan_with(tmp_path, split)
    assert image_index.counts == {"train": 16, "held_out": 4, "ood": 10, "id_labels": 2, "ood_labels": 1}
    assert 0 not in image_index.id_labels + image_index.ood_labels


def test_split_by_folders(tmp_path: Path) -> None:
    create_ten(tmp_path, "train/crane", "train/red finch", "val/blue jay")
    create(tmp_path, "val_on_train/crane/x.jpg")
    image_index = scan_with(tmp_path, {"by": "folders"})
    assert image_index.counts == {"train": 20, "held_out": 1, "ood": 10, "id_labels": 2, "ood_labels": 1}
    assert image_index.items[image_index.part("held_out")[0]] == Item("val_on_train/crane/x.jpg", 1, "held_out")


def test_split_by_image_lists(tmp_path: Path) -> None:
    create(tmp_path, "crane/1.jpg", "crane/2.jpg", "red finch/1.jpg", "blue jay/1.jpg")
    (tmp_path / "train.txt").write_text("crane/1.jpg\n\nred finch/1.jpg\n")
    (tmp_path / "test.txt").write_text("crane/2.jpg\n")
    (tmp_path / "ood.txt").write_text("blue jay/1.jpg\n")
    split = {"by": "image_lists", "train": "train.txt", "held_out": "test.txt", "ood": "ood.txt"}
    image_index = scan_with(tmp_path, split)
    assert [(i.path, LABELS[i.label], i.part) for i in image_index] == [
        ("crane/1.jpg", "crane", "train"),
        ("red finch/1.jpg", "red finch", "train"),
        ("crane/2.jpg", "crane", "held_out"),
        ("blue jay/1.jpg", "blue jay", "ood"),
    ]


def test_id_and_ood_labels_may_not_overlap(tmp_path: Path) -> None:
    create_ten(tmp_path, "crane", "red finch", "train/crane", "train/red finch", "val/crane")
    create(tmp_path, "val_on_train/red finch/x.jpg")  # the published form, in which val/ holds OOD labels only
    by_list = scan_error(tmp_path / "train", {"by": "list", "id": ["crane", "red finch"], "ood": ["crane"]})
    by_folders = scan_error(tmp_path, {"by": "folders"})
    assert by_list.code == by_folders.code == "id_ood_overlap"
    assert '"crane"' in by_list.detail


@pytest.mark.image_input(
    "Splits and evaluation",
    "`train/`, `val/` and `test/` folders",
    "labels with training images are held out, others OOD",
)
def test_usual_part_folders_are_held_out_for_trained_labels_and_ood_for_others(tmp_path: Path) -> None:
    create_ten(tmp_path, "Train/crane", "Train/red finch", "valid/crane", "test/red finch", "test/blue jay")
    image_index = scan_with(tmp_path, {"by": "parts"})
    assert image_index.counts == {"train": 20, "held_out": 20, "ood": 10, "id_labels": 2, "ood_labels": 1}
    only_test = scan_with(tmp_path, {"by": "parts", "measure": ["test"]})
    assert only_test.counts == {"train": 20, "held_out": 10, "ood": 10, "id_labels": 2, "ood_labels": 1}


@pytest.mark.image_input("Splits and evaluation", '`{"by": "all"}`', "trains on every image; nothing is measured")
def test_all_images_can_be_trained_on_or_measured_on(tmp_path: Path) -> None:
    create_ten(tmp_path, "crane", "red finch")
    for split in ({"by": "all"}, {"by": "seed", "id_fraction": 1, "held_out": 0}):
        assert scan_with(tmp_path, split).counts["train"] == 20
    assert scan_with(tmp_path, {"by": "all", "part": "test"}).counts["ood"] == 20


def test_image_lists_need_an_evaluation_list() -> None:
    with pytest.raises(ValidationError, match="held_out or ood"):
        SPLIT.validate_python({"by": "image_lists", "train": "t.txt"})
