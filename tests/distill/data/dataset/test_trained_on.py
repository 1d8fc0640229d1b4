"""What a student was trained on: labels by name and sense, images by content, and the record in a bundle."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from distill.data.dataset.trained_on import (
    IMAGES_FILE,
    LABELS_FILE,
    TrainedOn,
    TrainedOnError,
    count_changed,
    image_prefixes,
    read_trained_on,
    save_contents,
    save_training_images,
)
from distill.data.image_index import ImageIndex, Item
from distill.data.row_cache import Keys, stack_keys
from distill.data.splits import NO_LABEL


def contents(*names: str) -> Keys:
    return stack_keys(hashlib.sha256(name.encode()).digest() for name in names)


@pytest.mark.image_input(
    "Splits and evaluation",
    "a checkpoint and a dataset with another split",
    "labels that it was trained on are seen, others unseen",
)
@pytest.mark.parametrize(
    ("trained", "label", "is_seen"),
    [
        ("Black footed Albatross", "black-footed albatross", True),
        ("crane", "heron", False),
        ("crane (bird)", "crane", True),
        ("crane", "crane (bird)", True),
        ("crane (bird)", "crane (machine)", False),
        ("crane (bird)", "crane (bird)", True),
    ],
)
def test_a_label_is_seen_if_the_student_was_trained_on_it(trained: str, label: str, is_seen: bool) -> None:
    index = ImageIndex.of("/", [label, "other"], [Item("a.jpg", 0, "ood"), Item("b.jpg", 1, "held_out")])
    measured = TrainedOn((trained,)).split(index)
    assert measured.items == [Item("a.jpg", 0, "held_out" if is_seen else "ood"), Item("b.jpg", 1, "ood")]


def test_training_images_of_the_other_split_and_unlabelled_images_are_not_measured() -> None:
    items = [Item("1.jpg", 0, "train"), Item("2.jpg", 1, "ood"), Item("3.jpg", NO_LABEL, "unlabelled")]
    index = ImageIndex.of("/", ["a", "b"], items)
    assert TrainedOn(("a",)).split(index).items == [Item("2.jpg", 1, "ood")]


def test_unlabelled_images_of_the_dataset_are_not_measured() -> None:
    index = ImageIndex.of("/", ["a", "b"], [Item("1.jpg", -1, "unlabelled"), Item("2.jpg", 1, "ood")])
    assert TrainedOn(("a",)).split(index).items == [Item("2.jpg", 1, "ood")]


def test_images_are_recognised_by_content(tmp_path: Path) -> None:
    save_training_images(tmp_path / IMAGES_FILE, contents("x", "y", "x"))
    (tmp_path / "targets").mkdir()
    labels = [{"label": "crane", "sense": "bird", "part": "id"}, {"label": "crane", "sense": "machine", "part": "ood"}]
    (tmp_path / LABELS_FILE).write_text(json.dumps({"labels": labels}))
    trained_on = read_trained_on(tmp_path)
    assert trained_on.labels == ("crane (bird)",)
    assert trained_on.images is not None
    assert len(trained_on.images) == 2
    assert trained_on.contains(contents("y", "z")).tolist() == [True, False]
    assert TrainedOn(("crane",)).contains(contents("y", "z")).tolist() == [False, False]
    assert trained_on.contains(np.zeros((0, 32), dtype=np.uint8)).tolist() == []


def test_the_record_includes_what_the_initial_student_was_trained_on(tmp_path: Path) -> None:
    (tmp_path / "targets").mkdir()
    labels = [{"label": "crane", "part": "id"}, {"label": "heron", "part": "ood"}]
    (tmp_path / LABELS_FILE).write_text(json.dumps({"labels": labels}))
    earlier = TrainedOn(("crane", "owl"), image_prefixes(contents("x", "y")))
    save_training_images(tmp_path / IMAGES_FILE, contents("y", "z"), earlier)
    trained_on = read_trained_on(tmp_path)
    assert trained_on.labels == ("crane", "owl")
    assert trained_on.contains(contents("x", "y", "z", "w")).tolist() == [True, True, True, False]


def test_contents_that_changed_since_are_counted(tmp_path: Path) -> None:
    save_contents(tmp_path / "contents", contents("x", "y", "z"))
    assert count_changed(tmp_path / "contents", contents("z", "x")) == 0
    assert count_changed(tmp_path / "contents", contents("z", "w", "v")) == 2
    assert count_changed(tmp_path / "contents", contents()) == 0


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainedOnError, match=r"labels\.json cannot be read"):
        read_trained_on(tmp_path)
    (tmp_path / "targets").mkdir()
    (tmp_path / LABELS_FILE).write_text('{"labels": []}')
    (tmp_path / IMAGES_FILE).write_bytes(b"rubbish")
    with pytest.raises(TrainedOnError, match=r"training_images\.safetensors cannot be read"):
        read_trained_on(tmp_path)
