"""Folders of images without labels, inside and outside the folder of the labelled images."""

from pathlib import Path

import pytest

from distill.data.dataset.scan import scan_dataset
from distill.data.image_folders import FolderError
from distill.data.image_source import ImageSource
from distill.data.splits import SPLIT
from tests.distill.data.helpers_index import LABELS, create
from tests.distill.data.layouts.helpers_tables import create_images

ALL = SPLIT.validate_python({"by": "all"})
SECTION = "Files, folders and shards"


def paths_of(root: Path, *unlabelled: Path) -> tuple[list[str], list[str]]:
    """The labelled and the unlabelled paths."""
    index = scan_dataset(root, LABELS, ALL, unlabelled=unlabelled).image_index
    labelled, others = ([item.path for item in index if (item.label < 0) == is_other] for is_other in (False, True))
    return labelled, others


@pytest.mark.image_input(
    SECTION,
    "an unlabelled folder inside the folder of a table, or of class folders with a folder of the same name",
    "only that folder is apart: the table is read, and the other folder counts",
)
def test_an_unlabelled_folder_inside_the_dataset_is_apart(tmp_path: Path) -> None:
    table = create(create_images(tmp_path / "table", "images", ("a.jpg", "b.jpg")), "more/u.jpg")
    (table / "labels.csv").write_text("file,label\na.jpg,crane\nb.jpg,blue jay\n", encoding="utf-8")
    assert paths_of(table, table / "more") == (["images/a.jpg", "images/b.jpg"], ["more/u.jpg"])
    folders = create(tmp_path / "folders", "crane/0.jpg", "crane/more/1.jpg", "blue jay/0.jpg", "more/u.jpg")
    (folders / "link").symlink_to(folders / "more")
    expected = (["blue jay/0.jpg", "crane/0.jpg", "crane/more/1.jpg"], ["more/u.jpg"])
    assert paths_of(folders, folders / "link") == expected


@pytest.mark.image_input(
    SECTION,
    "an unlabelled folder that holds the labelled images, or is missing",
    "refused: the held-out images would be trained on as unlabelled ones",
)
def test_an_unlabelled_folder_around_the_dataset_is_refused(tmp_path: Path) -> None:
    root = create(tmp_path / "images", "crane/0.jpg", "blue jay/0.jpg")
    for unlabelled, code in ((root, "ambiguous"), (tmp_path, "ambiguous"), (tmp_path / "none", "no_such_folder")):
        with pytest.raises(FolderError) as caught:
            paths_of(root, root / "crane", unlabelled)
        assert (caught.value.code, caught.value.pointer) == (code, "/unlabelled/1")


def test_a_dataset_to_measure_on_needs_an_image_with_a_label(tmp_path: Path) -> None:
    root = create(tmp_path / "images", "crane/0.jpg", "blue jay/0.jpg", "more/0.jpg")
    source, split = ImageSource(unmatched="skip"), SPLIT.validate_python({"by": "all", "part": "test"})
    with pytest.raises(FolderError, match="no image to measure on"):
        scan_dataset(root, ["gull", "ibis"], split, source=source, unlabelled=[root / "more"])
