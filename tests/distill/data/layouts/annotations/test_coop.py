"""The split files of CoOp on miniatures."""

import json
from pathlib import Path

import pytest

from tests.distill.data.helpers_index import create
from tests.distill.data.layouts.helpers_layouts import Image, listing_error, listing_of, write

SPLITS = {
    "train": [["abbey/1.jpg", 0, "abbey"]],
    "val": [["shop/2.jpg", 1, "shop bakery"]],
    "test": [["abbey/3.jpg", 0, "abbey"]],
}
PATHS = [path for entries in SPLITS.values() for path, _, _ in entries]


@pytest.mark.image_input(
    "Published datasets",
    "a split file of CoOp (`split_*.json`)",
    "reads names and parts from the file; the images lie in `images/`, beside the file, or in a folder beside it",
)
@pytest.mark.parametrize("folder", ["images", "", "SUN397", "jpg"])
def test_images_are_found_in_any_folder_beside_the_file(tmp_path: Path, folder: str) -> None:
    create(tmp_path / folder, *PATHS)
    listing = listing_of(write(tmp_path, {"split_zhou_SUN397.json": json.dumps(SPLITS)}))
    prefix = f"{folder}/" if folder else ""
    assert listing.layout == "coop"
    assert listing.images == [
        Image(f"{prefix}abbey/1.jpg", ("abbey",), "train"),
        Image(f"{prefix}shop/2.jpg", ("shop bakery",), "val"),
        Image(f"{prefix}abbey/3.jpg", ("abbey",), "test"),
    ]


@pytest.mark.image_input(
    "Published datasets",
    "a folder with the files of two layouts, such as Food-101 with a split file of CoOp",
    "the split file counts; a note names both, and `layout` chooses",
)
def test_split_file_beside_the_lists_of_a_dataset(tmp_path: Path) -> None:
    create(tmp_path / "images", *PATHS)
    write(
        tmp_path,
        {"split_zhou_Food101.json": json.dumps(SPLITS), "meta/train.txt": "abbey/1", "meta/test.txt": "shop/2"},
    )
    listing = listing_of(tmp_path)
    assert (listing.layout, len(listing.images)) == ("coop", 3)
    assert 'the images were read as the layout "coop", and not as "food101"' in listing.notes
    assert len(listing_of(tmp_path, "food101").images) == 2


def test_several_split_files_need_a_choice(tmp_path: Path) -> None:
    create(tmp_path / "images", *PATHS)
    write(tmp_path, {"split_a.json": json.dumps(SPLITS), "split_b.json": json.dumps({"train": SPLITS["train"]})})
    assert (error := listing_error(tmp_path, "coop")).code == "ambiguous"
    assert error.pointer == "/images/file"
    assert len(listing_of(tmp_path, "coop", file="split_b.json").images) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"train": [["abbey/1.jpg", 0]]}', "must be [path, index, name]"),
        ('{"train": [["abbey/1.jpg", 0, "crane"], ["abbey/3.jpg", 1, "crane"]]}', "indices 0 and 1"),
        ('{"classes": []}', "no train, val or test"),
    ],
    ids=["short entry", "one name for two classes", "no part"],
)
def test_file_of_another_form_is_named(tmp_path: Path, text: str, said: str) -> None:
    create(tmp_path, *PATHS)
    error = listing_error(write(tmp_path, {"split_x.json": text}), "coop")
    assert error.code == "bad_list"
    assert said in error.detail
