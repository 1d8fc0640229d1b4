"""iNaturalist on a miniature: names and common names, hidden names, several training files."""

import json
from pathlib import Path

import pytest

from distill.data.dataset.scan import scan_dataset
from distill.data.image_folders import FolderError
from distill.data.splits import SPLIT
from tests.distill.data.helpers_index import create
from tests.distill.data.layouts.annotations.test_coco import content
from tests.distill.data.layouts.helpers_layouts import listing_error, listing_of, write

CATEGORIES = [
    {
        "id": 0,
        "name": "Danaus plexippus",
        "common_name": "Monarch",
        "image_dir_name": "00000_Animalia_Danaus_plexippus",
    },
    {"id": 1, "name": "Ardea cinerea", "common_name": "Grey Heron", "image_dir_name": "00001_Animalia_Ardea_cinerea"},
]


def _miniature(root: Path, year: str = "") -> Path:
    for part, ids in (("train", (1, 2, 3, 4)), ("val", (5, 6))):
        folders = {id: CATEGORIES[id % 2]["image_dir_name"] for id in ids}
        images = {id: f"{part}/{folders[id]}/{id}.jpg" for id in ids}
        create(root, *images.values())
        write(root, {f"{part}{year}.json": content(images, [(id, id % 2) for id in ids], CATEGORIES)})
    return root


@pytest.mark.image_input(
    "Published datasets",
    "iNaturalist (`train*.json` and `val*.json`)",
    "matches the name of a category, its common name, or its folder; `categories.json` has the names of 2018",
)
@pytest.mark.parametrize(
    "labels",
    [
        ["Danaus plexippus", "Ardea cinerea"],
        ["monarch", "grey heron"],
        [str(one["image_dir_name"]) for one in CATEGORIES],
    ],
    ids=["names", "common names", "folders"],
)
def test_category_is_matched_by_any_of_its_names(tmp_path: Path, labels: list[str]) -> None:
    scanned = scan_dataset(_miniature(tmp_path, "2021"), labels, SPLIT.validate_python({"by": "parts"}))
    assert scanned.listing.layout == "inaturalist"
    assert scanned.image_index.counts == {"train": 4, "held_out": 2, "ood": 0, "id_labels": 2, "ood_labels": 0}


def test_unknown_categories_are_named_with_similar_labels(tmp_path: Path) -> None:
    with pytest.raises(FolderError) as caught:
        scan_dataset(_miniature(tmp_path), ["monarchs", "gray heron"], SPLIT.validate_python({"by": "parts"}))
    assert caught.value.code == "folder_matches_no_label"
    assert '2 names cannot be matched: category "Ardea cinerea"' in caught.value.detail
    assert "near: gray heron" in caught.value.detail
    assert "near: monarchs" in caught.value.detail


def test_hidden_names_are_read_from_the_categories(tmp_path: Path) -> None:
    hidden = [{"id": 0, "name": "0"}, {"id": 1, "name": "1"}]
    create(tmp_path, "train_val2018/a.jpg")
    write(tmp_path, {"train2018.json": content({1: "train_val2018/a.jpg"}, [(1, 1)], hidden)})
    write(tmp_path, {"categories.json": json.dumps([{"id": 1, "name": "Ardea cinerea"}, {"id": 0, "name": "Danaus"}])})
    assert [image.labels for image in listing_of(tmp_path).images] == [("Ardea cinerea",)]


def test_several_training_files_need_a_choice(tmp_path: Path) -> None:
    root = _miniature(tmp_path)
    (root / "train_mini.json").write_bytes((root / "train.json").read_bytes())
    error = listing_error(root)
    assert (error.code, error.pointer) == ("ambiguous", "/images/file")
    assert len(listing_of(root, "inaturalist", file="train_mini.json").images) == 4


def test_other_json_files_are_not_taken_for_annotations(tmp_path: Path) -> None:
    create(tmp_path, "crane/1.jpg")
    write(tmp_path, {"train.json": '{"crane": ["a bird"]}'})
    assert listing_of(tmp_path).layout == "class_folders"
