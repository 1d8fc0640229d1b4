"""Food-101 on a miniature."""

import json
from pathlib import Path

import pytest

from tests.distill.data.helpers_index import create
from tests.distill.data.layouts.helpers_layouts import Image, listing_error, listing_of, write

LISTS = {"train": ["apple_pie/1", "beignets/4"], "test": ["apple_pie/2"]}


def _miniature(root: Path, *, as_json: bool) -> Path:
    create(root, *(f"images/{name}.jpg" for names in LISTS.values() for name in names))
    for part, names in LISTS.items():
        by_class: dict[str, list[str]] = {}
        for name in names:
            by_class.setdefault(name.split("/")[0], []).append(name)
        text = json.dumps(by_class) if as_json else "\n".join(names)
        write(root, {f"meta/{part}.{'json' if as_json else 'txt'}": text, "meta/classes.txt": "apple_pie\nbeignets\n"})
    return root


@pytest.mark.image_input(
    "Published datasets", "Food-101", "reads `meta/train.txt` and `meta/test.txt`, or the `.json` files beside them"
)
@pytest.mark.parametrize("as_json", [False, True], ids=["txt", "json"])
def test_images_of_both_lists(tmp_path: Path, as_json: bool) -> None:
    listing = listing_of(_miniature(tmp_path, as_json=as_json))
    assert listing.layout == "food101"
    assert listing.images == [
        Image("images/apple_pie/1.jpg", ("apple_pie",), "train"),
        Image("images/beignets/4.jpg", ("beignets",), "train"),
        Image("images/apple_pie/2.jpg", ("apple_pie",), "test"),
    ]


def test_entry_without_a_class_is_named(tmp_path: Path) -> None:
    root = write(_miniature(tmp_path, as_json=False), {"meta/train.txt": "apple_pie/1\n1005649\n"})
    assert '"1005649"' in listing_error(root).detail
