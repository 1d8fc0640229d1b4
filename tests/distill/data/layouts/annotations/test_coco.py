"""COCO and exports in its format, on miniatures."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.distill.data.helpers_index import create
from tests.distill.data.layouts.helpers_layouts import Image, listing_error, listing_of, write

CATEGORIES = [
    {"id": 1, "name": "person", "supercategory": "person"},
    {"id": 18, "name": "dog", "supercategory": "animal"},
]
Content = dict[str, Any]


def content(
    images: dict[int, str], labels: Sequence[tuple[int, int]], categories: Sequence[Content] = CATEGORIES
) -> str:
    """A file of COCO: `images` by id, and pairs of image id and category id."""
    annotations = [
        {"id": n, "image_id": image, "category_id": one, "bbox": [0, 0, 1, 1], "segmentation": [[1.0, 2.0]]}
        for n, (image, one) in enumerate(labels)
    ]
    listed = [{"id": id, "file_name": name, "width": 1, "height": 1} for id, name in images.items()]
    return json.dumps({"info": {}, "images": listed, "annotations": annotations, "categories": categories})


def _published(root: Path) -> Path:
    create(root, "train2017/1.jpg", "train2017/2.jpg", "train2017/3.jpg", "val2017/4.jpg")
    train = content({1: "1.jpg", 2: "2.jpg", 3: "3.jpg"}, [(1, 18), (1, 1), (1, 18), (2, 1)])
    val = content({4: "4.jpg"}, [(4, 18)])
    write(root, {"annotations/instances_train2017.json": train, "annotations/instances_val2017.json": val})
    return write(root, {"annotations/captions_train2017.json": "{}"})


@pytest.mark.image_input(
    "Published datasets",
    "COCO (`annotations/instances_*.json`), and exports in its format (`_annotations.coco.json`)",
    "each image has all categories of its annotations; the part is in the name of the file or folder; "
    "images without annotations are left out and counted",
)
def test_images_have_each_category_once(tmp_path: Path) -> None:
    listing = listing_of(_published(tmp_path))
    assert listing.layout == "coco"
    assert listing.images == [
        Image("train2017/1.jpg", ("dog", "person"), "train"),
        Image("train2017/2.jpg", ("person",), "train"),
        Image("val2017/4.jpg", ("dog",), "val"),
    ]
    assert listing.skipped.examples == {"image without a label": ["train2017/3.jpg"]}


def test_annotations_of_other_images_and_categories_are_not_lost_in_silence(tmp_path: Path) -> None:
    create(tmp_path, "train2017/1.jpg")
    file = "annotations/instances_train2017.json"
    write(tmp_path, {file: content({1: "1.jpg"}, [(1, 18), (7, 18), (7, 1), (8, 1)])})
    note = "instances_train2017.json: 2 images are annotated but not listed, and left out, such as the id 7"
    assert note in listing_of(tmp_path).notes
    write(tmp_path, {file: content({1: "1.jpg"}, [(1, 0)])})
    assert "has annotations of the category 0, which is not in its categories" in listing_error(tmp_path).detail


def test_export_has_a_file_in_each_part(tmp_path: Path) -> None:
    create(tmp_path, "train/a.jpg", "valid/b.jpg", "test/c.jpg")
    for part, name in (("train", "a.jpg"), ("valid", "b.jpg"), ("test", "c.jpg")):
        write(tmp_path, {f"{part}/_annotations.coco.json": content({1: name}, [(1, 18)])})
    found = {(image.path, image.part) for image in listing_of(tmp_path).images}
    assert found == {("train/a.jpg", "train"), ("valid/b.jpg", "valid"), ("test/c.jpg", "test")}


def test_any_file_can_be_named(tmp_path: Path) -> None:
    create(tmp_path, "images/a.jpg")
    write(tmp_path, {"labels/all.json": content({1: "a.jpg"}, [(1, 1)])})
    assert listing_of(tmp_path, "coco", file="labels/all.json").images == [Image("images/a.jpg", ("person",))]
    error = listing_error(tmp_path, "coco", file="../all.json")
    assert (error.code, error.pointer) == ("outside_root", "/images/file")
    assert listing_error(tmp_path, "coco", file="none.json").code == "missing_list"


def test_categories_of_one_name_are_kept_apart(tmp_path: Path) -> None:
    categories = [
        {"id": 3, "name": "crane", "supercategory": "bird"},
        {"id": 7, "name": "crane", "supercategory": "machine"},
        {"id": 8, "name": "crane", "supercategory": "machine"},
    ]
    create(tmp_path, *(f"train/{n}.jpg" for n in (3, 7, 8)))
    images, labels = {n: f"{n}.jpg" for n in (3, 7, 8)}, [(n, n) for n in (3, 7, 8)]
    write(tmp_path, {"annotations/instances_train.json": content(images, labels, categories)})
    assert [image.labels for image in listing_of(tmp_path).images] == [
        ("crane (bird)",),
        ("crane (7)",),
        ("crane (8)",),
    ]


@pytest.mark.image_input(
    "Published datasets",
    "images that a list names, but that are not there",
    'refused with their number; `"missing": "skip"` leaves them out and counts them',
)
def test_missing_images_are_refused_or_skipped(tmp_path: Path) -> None:
    root = _published(tmp_path)
    (root / "train2017/2.jpg").unlink()
    error = listing_error(root)
    assert (error.code, error.pointer) == ("missing_image", "/images/missing")
    assert '1 of 4 listed images are missing, such as "2.jpg"' in error.detail
    listing = listing_of(root, missing="skip")
    assert [image.path for image in listing.images] == ["train2017/1.jpg", "val2017/4.jpg"]
    assert listing.skipped.counts == {"missing file": 1, "image without a label": 1}


@pytest.mark.parametrize(
    ("name", "code"),
    [("/etc/hosts.jpg", "outside_root"), ("../1.jpg", "outside_root"), ("link.jpg", "link"), ("out/1.jpg", "link")],
)
def test_paths_stay_in_the_folder(tmp_path: Path, name: str, code: str) -> None:
    create(tmp_path, "secret/1.jpg")
    root = create(tmp_path / "data", "train/1.jpg")
    (root / "train/link.jpg").symlink_to(tmp_path / "secret/1.jpg")
    (root / "train/out").symlink_to(tmp_path / "secret")
    write(root, {"annotations/instances_train.json": content({1: name}, [(1, 1)])})
    assert listing_error(root).code == code


def test_annotation_file_may_not_be_a_link_out_of_the_folder(tmp_path: Path) -> None:
    root = create(tmp_path / "data", "train/1.jpg", "annotations/readme.txt")
    write(tmp_path, {"secret.json": content({1: "1.jpg"}, [(1, 1)])})
    (root / "annotations/instances_train.json").symlink_to(tmp_path / "secret.json")
    assert listing_error(root).code == "link"


def test_image_in_two_parts_is_refused(tmp_path: Path) -> None:
    create(tmp_path, "images/1.jpg")
    for part in ("train", "val"):
        write(tmp_path, {f"annotations/instances_{part}.json": content({1: "1.jpg"}, [(1, 1)])})
    assert listing_error(tmp_path).code == "image_twice"


@pytest.mark.parametrize("text", ["{", "[]", '{"images": [{}]}', '{"images": [], "categories": [{"name": "x"}]}'])
def test_file_of_another_form_is_named(tmp_path: Path, text: str) -> None:
    write(tmp_path, {"annotations/instances_train.json": text})
    error = listing_error(tmp_path)
    assert error.code == "bad_list"
    assert "instances_train.json" in error.detail
