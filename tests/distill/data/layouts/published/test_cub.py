"""CUB-200-2011 on a miniature, with the split of the archive and with the split by classes of the paper."""

from pathlib import Path

import pytest

from distill.data.dataset.scan import scan_dataset
from distill.data.splits import SPLIT
from tests.distill.data.helpers_index import create
from tests.distill.data.layouts.helpers_layouts import Image, listing_error, listing_of, write

ALBATROSS, ANI = "001.Black_footed_Albatross", "004.Groove_billed_Ani"
PATHS = [f"{folder}/{folder[4:]}_{n:04d}_{n}.jpg" for folder in (ALBATROSS, ANI) for n in range(1, 5)]
ROW = pytest.mark.image_input(
    "Published datasets",
    "CUB-200-2011, or NABirds",
    "reads `images.txt`, `image_class_labels.txt`, `classes.txt`, and `train_test_split.txt` for train and test",
)


def miniature(root: Path, base: str = "") -> Path:
    """A dataset of two classes with four images each, of which the first two are for training."""
    folder = root / base
    create(folder, *(f"images/{path}" for path in PATHS), "parts/parts.txt")
    ids = range(1, len(PATHS) + 1)
    write(
        folder,
        {
            "images.txt": "".join(f"{id} {path}\n" for id, path in zip(ids, PATHS, strict=True)),
            "classes.txt": f"1 {ALBATROSS}\n4 {ANI}\n",
            "image_class_labels.txt": "".join(f"{id} {1 if id <= 4 else 4}\n" for id in ids),
            "train_test_split.txt": "".join(f"{id} {int((id - 1) % 4 < 2)}\n" for id in ids),
            "attributes/certainties.txt": "1 not visible\n",
        },
    )
    return root


@ROW
@pytest.mark.parametrize("base", ["", "CUB_200_2011", "CUB_200_2011/CUB_200_2011"])
def test_images_have_the_class_and_the_part_of_the_lists(tmp_path: Path, base: str) -> None:
    listing = listing_of(miniature(tmp_path, base))
    prefix = f"{base}/images/" if base else "images/"
    assert listing.layout == "cub"
    assert listing.images[0] == Image(prefix + PATHS[0], (ALBATROSS,), "train")
    assert [image.part for image in listing.images] == ["train", "train", "test", "test"] * 2
    assert {image.labels for image in listing.images[4:]} == {(ANI,)}
    assert any("CUB_200_2011" in note for note in listing.notes) == bool(base)


@pytest.mark.image_input(
    "Published datasets",
    "a published split into train and test, with a split by seed, by a list of labels, or by parts",
    "splits by seed and by list use the images of all parts; a split by parts uses the parts",
)
def test_split_by_parts_and_the_split_by_classes_of_the_paper(tmp_path: Path) -> None:
    root, labels = miniature(tmp_path), ["black-footed albatross", "Groove billed Ani"]
    index = scan_dataset(root, labels, SPLIT.validate_python({"by": "parts"})).image_index
    assert index.counts == {"train": 4, "held_out": 4, "ood": 0, "id_labels": 2, "ood_labels": 0}
    labels.append("heron")
    create(root, "images/005.Heron/1.jpg", "images/005.Heron/2.jpg")
    for name, lines in {
        "images.txt": "9 005.Heron/1.jpg\n10 005.Heron/2.jpg\n",
        "classes.txt": "5 005.Heron\n",
        "image_class_labels.txt": "9 5\n10 5\n",
        "train_test_split.txt": "9 1\n10 0\n",
    }.items():
        with (root / name).open("a") as file:
            file.write(lines)
    by_list = {"by": "list", "id": [ALBATROSS, "heron"], "ood": [ANI], "held_out": 0.5}
    index = scan_dataset(root, labels, SPLIT.validate_python(by_list)).image_index
    assert index.counts == {"train": 3, "held_out": 3, "ood": 4, "id_labels": 2, "ood_labels": 1}


def test_class_folders_of_the_archive_can_be_given_alone(tmp_path: Path) -> None:
    listing = listing_of(miniature(tmp_path) / "images")
    assert (listing.layout, len(listing.images)) == ("class_folders", 8)


def test_layout_that_is_not_there_says_what_it_needs(tmp_path: Path) -> None:
    error = listing_error(miniature(tmp_path) / "images", "cub")
    assert (error.code, error.pointer) == ("missing_list", "/images/layout")
    assert "images.txt" in error.detail
    assert "the folder that holds them" in error.detail


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("images.txt", "1\n", 'entry 1 is "1"'),
        ("image_class_labels.txt", "1 7\n", "no class of classes.txt for image 1"),
        ("train_test_split.txt", "1 2\n", "no 0 or 1 for image 1"),
    ],
    ids=["images", "labels", "split"],
)
def test_damaged_list_is_named(tmp_path: Path, file: str, text: str, said: str) -> None:
    error = listing_error(write(miniature(tmp_path), {file: text}))
    assert error.code == "bad_list"
    assert f'"{file}"' in error.detail
    assert said in error.detail
