"""Oxford-IIIT Pet on a miniature."""

from pathlib import Path

import pytest

from tests.distill.data.helpers_index import create
from tests.distill.data.layouts.helpers_layouts import Image, listing_error, listing_of, write

HEADER = "#Image CLASS-ID SPECIES BREED ID\n#ID: 1:37 Class ids\n"


def _images(root: Path) -> Path:
    return create(root, "images/Abyssinian_1.jpg", "images/great_pyrenees_12.jpg", "images/Abyssinian_101.mat")


@pytest.mark.image_input(
    "Published datasets",
    "Oxford-IIIT Pet",
    "reads `annotations/trainval.txt` and `test.txt`, else `list.txt`; the breed is in the name of the image",
)
def test_breed_is_in_the_name(tmp_path: Path) -> None:
    root = write(
        _images(tmp_path),
        {
            "annotations/list.txt": HEADER + "Abyssinian_1 1 1 1\ngreat_pyrenees_12 16 2 9\n",
            "annotations/trainval.txt": "Abyssinian_1 1 1 1\n",
            "annotations/test.txt": "great_pyrenees_12 16 2 9\n",
        },
    )
    expected = [("images/Abyssinian_1.jpg", "Abyssinian"), ("images/great_pyrenees_12.jpg", "great_pyrenees")]
    listing = listing_of(root)
    assert listing.layout == "pets"
    assert listing.images == [
        Image(path, (breed,), part) for (path, breed), part in zip(expected, ("train", "test"), strict=True)
    ]
    (root / "annotations/trainval.txt").unlink()
    assert listing_of(root).images == [Image(path, (breed,)) for path, breed in expected]


@pytest.mark.image_input(
    "Published datasets", "images beside those that the lists of a dataset name", "left out and counted"
)
def test_images_that_no_list_names_are_counted(tmp_path: Path) -> None:
    root = write(_images(tmp_path), {"annotations/list.txt": HEADER + "Abyssinian_1 1 1 1\n"})
    listing = listing_of(root)
    assert listing.skipped.counts == {"image that no list names": 1}
    assert listing.skipped.examples == {"image that no list names": ["images/great_pyrenees_12.jpg"]}


def test_line_of_another_form_is_named(tmp_path: Path) -> None:
    root = write(_images(tmp_path), {"annotations/list.txt": HEADER + "Abyssinian_1.jpg 1\n"})
    assert '"Abyssinian_1.jpg 1"' in listing_error(root).detail
