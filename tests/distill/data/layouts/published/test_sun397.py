"""SUN397 on a miniature: nested classes, partitions, names in both orders."""

from pathlib import Path

import pytest

from distill.data.dataset.scan import scan_dataset
from distill.data.splits import SPLIT
from tests.distill.data.helpers_index import create
from tests.distill.data.layouts.helpers_layouts import Image, listing_error, listing_of, write

CLASSES = ("/a/abbey", "/b/bakery/shop", "/l/library/indoor", "/l/library/outdoor")


def _miniature(root: Path, images: str = "") -> Path:
    create(root / images, *(f"{one[1:]}/sun_{n}.jpg" for one in CLASSES for n in range(3)))
    write(root, {"ClassName.txt": "".join(f"{one}\n" for one in CLASSES)})
    for number in ("01", "02"):
        first, second = (0, 1) if number == "01" else (1, 2)
        write(root, {f"Training_{number}.txt": "".join(f"{one}/sun_{first}.jpg\n" for one in CLASSES)})
        write(root, {f"Testing_{number}.txt": "".join(f"{one}/sun_{second}.jpg\n" for one in CLASSES)})
    return root


@pytest.mark.image_input(
    "Published datasets",
    "SUN397, with its letters and nested classes",
    "reads `ClassName.txt`, and `Training_01.txt` and `Testing_01.txt` for the parts; `file` names another partition",
)
@pytest.mark.parametrize("images", ["", "SUN397"], ids=["beside", "in SUN397"])
def test_classes_are_nested_and_parts_are_of_the_partition(tmp_path: Path, images: str) -> None:
    listing = listing_of(_miniature(tmp_path, images))
    prefix = f"{images}/" if images else ""
    assert listing.layout == "sun397"
    assert listing.images[3:6] == [
        Image(f"{prefix}b/bakery/shop/sun_{n}.jpg", ("bakery/shop",), part)
        for n, part in enumerate(("train", "test", None))
    ]
    other = listing_of(tmp_path, file="Training_02.txt")
    assert [image.part for image in other.images[:3]] == [None, "train", "test"]


@pytest.mark.parametrize(
    "labels",
    [
        ["abbey", "bakery shop", "library indoor", "library outdoor"],
        ["abbey", "shop bakery", "indoor library", "outdoor library"],
        ["abbey", "bakery/shop", "library/indoor", "library (outdoor)"],
    ],
    ids=["words", "CoOp", "paths"],
)
def test_names_match_in_both_orders(tmp_path: Path, labels: list[str]) -> None:
    scanned = scan_dataset(_miniature(tmp_path), labels, SPLIT.validate_python({"by": "parts"}))
    assert scanned.image_index.counts == {"train": 4, "held_out": 4, "ood": 0, "id_labels": 4, "ood_labels": 0}
    assert "4 images are in no part, and were left out" in scanned.listing.notes


def test_classes_without_images_are_refused_or_skipped(tmp_path: Path) -> None:
    root = write(_miniature(tmp_path), {"ClassName.txt": "/a/abbey\n/z/zoo\n"})
    error = listing_error(root)
    assert (error.code, error.pointer) == ("missing_image", "/images/missing")
    assert '"zoo"' in error.detail
    listing = listing_of(root, missing="skip")
    assert (len(listing.images), listing.skipped.counts["class without images"]) == (3, 1)
