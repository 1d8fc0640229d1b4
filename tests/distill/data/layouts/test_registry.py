"""The layout of a folder is found without opening what is no file."""

import os
from pathlib import Path

import pytest

from tests.distill.data.layouts.helpers_layouts import listing_error, listing_of, write


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
