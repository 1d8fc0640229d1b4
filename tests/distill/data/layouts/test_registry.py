"""Which layout a folder is read as, without opening what is no file, and what a user can do about it."""

import json
import os
from pathlib import Path

import pytest

from tests.distill.data.helpers_index import create
from tests.distill.data.layouts.helpers_layouts import listing_error, listing_of, write
from tests.distill.data.layouts.helpers_tables import scan_source, source_error

SECTION = "Layouts and tables"


@pytest.mark.image_input(
    SECTION,
    "class folders beside `split_info.json`, a Parquet file of thumbnails, or with folders named by WordNet ids in one",
    "class folders: a layout is recognised by what its files hold, and where no other images lie beside it",
)
def test_class_folders_beside_files_that_resemble_a_layout(tmp_path: Path) -> None:
    create(tmp_path, "crane/0.jpg", "heron/n02012849/0.jpg", "heron/n02012850/0.jpg")
    write(tmp_path, {"split_info.json": json.dumps({"seed": 1, "train": 0.8})})
    pyarrow = pytest.importorskip("pyarrow")
    table = pyarrow.table({"thumbnail": [{"bytes": b"x", "path": None}], "label": [0]})
    pytest.importorskip("pyarrow.parquet").write_table(table, tmp_path / "thumbnails.parquet")
    listing = listing_of(tmp_path)
    assert listing.layout == "class_folders"
    assert {image.labels[0] for image in listing.images} == {"crane", "heron"}


@pytest.mark.image_input(
    SECTION, "a folder that was recognised as something that it is not", "the error names the layout, and how to choose"
)
def test_an_error_names_the_layout_that_was_recognised(tmp_path: Path) -> None:
    create(tmp_path, "crane/0.jpg", "heron/0.jpg")
    write(tmp_path, {"split_zhou.json": json.dumps({"train": [["crane/9.jpg", 0, "crane"]]})})
    assert 'read as the layout "coop": images.layout chooses another' in listing_error(tmp_path).detail
    write(tmp_path, {"split_zhou.json": json.dumps({"train": [["crane/0.jpg", 0, "zebra"]]})})
    assert 'read as the layout "coop": images.layout chooses another' in source_error(tmp_path).detail


@pytest.mark.image_input(
    SECTION, "folders with images beside a published dataset, and images that no table lists", "left out, and reported"
)
def test_images_beside_those_of_a_layout_are_reported(tmp_path: Path) -> None:
    create(tmp_path, "food-101/images/crane/0.jpg", "food-101/images/heron/0.jpg", "other/0.jpg", "unused/0.jpg")
    write(tmp_path / "food-101/meta", {"train.txt": "crane/0\n", "test.txt": "heron/0\n"})
    listing = listing_of(tmp_path, exclude=["unused/"])
    assert listing.layout == "food101"
    assert listing.skipped.examples["folder with images that do not belong to the layout"] == ["other/"]
    assert listing.skipped.examples['excluded by "unused/"'] == ["unused/"]
    table = create(tmp_path / "table", "train/a.jpg", "train/b.jpg", "test/a.jpg", "test/c.txt")
    write(table, {"train.csv": "file,label\na.jpg,crane\n", "test.csv": "file,label\na.jpg,heron\n"})
    assert listing_of(table).skipped.examples == {"image that no table lists": ["train/b.jpg"]}


@pytest.mark.image_input(
    SECTION,
    "the folder around class folders or part folders",
    "refused, with the folder to give or the layout to choose",
)
def test_the_folder_around_is_refused_with_a_remedy(tmp_path: Path) -> None:
    create(tmp_path, "data/train/crane/0.jpg", "data/train/red finch/0.jpg")
    assert source_error(tmp_path).detail.endswith('are the class folders, give the folder "data" itself')
    assert 'images.layout "part_folders" reads train/' in source_error(tmp_path / "data").detail
    assert len(scan_source(tmp_path / "data", layout="part_folders").image_index) == 2


@pytest.mark.image_input(
    SECTION, "`train_set/` and `test_set/`, `training_set/` and `val_set/`", "parts, as `train/` and `test/`"
)
@pytest.mark.parametrize("train", ["train_set", "Training_Set", "trainval"])
@pytest.mark.parametrize("test", ["test_set", "val_set", "testset"])
def test_further_names_of_part_folders(tmp_path: Path, train: str, test: str) -> None:
    create(tmp_path, *(f"{part}/{label}/0.jpg" for part in (train, test) for label in ("crane", "red finch")))
    index = scan_source(tmp_path, {"by": "parts"}).image_index
    assert (len(index.part("train")), len(index.part("held_out"))) == (2, 2)


@pytest.mark.image_input(
    "Files, folders and shards",
    "a FIFO that is named like a table, a list or a data set",
    "left out; where a layout needs the file, an error names it",
)
@pytest.mark.parametrize(
    "name", ["x.parquet", "x.arrow", "state.json", "dataset_info.json", "t.csv", "split_x.json", "list.txt"]
)
def test_special_files_are_never_opened(tmp_path: Path, name: str) -> None:
    write(tmp_path, {f"{label}/{at}.jpg": "" for label in ("crane", "heron") for at in range(2)})
    os.mkfifo(tmp_path / name)
    assert listing_of(tmp_path).layout == "class_folders"


@pytest.mark.parametrize("name", ["images.txt", "image_class_labels.txt"])
def test_a_layout_names_a_file_that_is_none(tmp_path: Path, name: str) -> None:
    write(tmp_path, {f"{one}.txt": "" for one in ("images", "classes", "image_class_labels", "train_test_split")})
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    error = listing_error(tmp_path, "cub")
    assert (error.code, error.detail) == ("bad_list", f'"{name}" cannot be read: Not a regular file')


@pytest.mark.image_input(
    SECTION,
    "a setting that the layout does not read, such as `image_folder` for class folders",
    "refused with the setting and the layout",
)
@pytest.mark.parametrize(
    ("setting", "value", "layout"),
    [
        ("image_folder", "crane", "auto"),
        ("label_separator", "|", "auto"),
        ("columns", {"label": "name"}, "auto"),
        ("file", "labels.csv", "class_folders"),
    ],
)
def test_a_setting_that_the_layout_does_not_read_is_refused(
    tmp_path: Path, setting: str, value: object, layout: str
) -> None:
    create(tmp_path, "crane/0.jpg", "heron/0.jpg")
    error = listing_error(tmp_path, layout, **{setting: value})
    assert (error.code, error.pointer) == ("unread_setting", f"/images/{setting}")
    assert f'images.{setting} has no effect on the layout "class_folders"' in error.detail
