"""Folders of images without labels, beside and inside the folder of the labelled images."""

from collections.abc import Callable
from pathlib import Path

import pytest

from distill.data.dataset.scan import scan_dataset
from distill.data.image_folders import FolderError
from distill.data.image_source import ImageSource
from distill.data.splits import AllImages, BySeed

LABELS = ("crane", "heron")
SECTION = "Files, folders and shards"
MakeImages = Callable[..., list[Path]]


@pytest.fixture
def root(tmp_path: Path, make_images: MakeImages) -> Path:
    """Four images of each label, and three without a label in `more/`."""
    for seed, (folder, number) in enumerate({"crane": 4, "heron": 4, "more": 3}.items()):
        make_images(tmp_path / "images" / folder, number, seed=seed)
    return tmp_path / "images"


@pytest.mark.image_input(
    SECTION, "a folder of unlabelled images where the layout does not look, such as beside a table", "they are used"
)
def test_unlabelled_folder_beside_a_table(root: Path) -> None:
    paths = [path.relative_to(root).as_posix() for label in LABELS for path in sorted((root / label).iterdir())]
    (root / "t.csv").write_text("image,label\n" + "".join(f"{path},{path.partition('/')[0]}\n" for path in paths))
    source = ImageSource(layout="table")
    found = scan_dataset(root, LABELS, BySeed(id_fraction=1), source=source, unlabelled=[root / "more"])
    assert (found.listing.layout, found.image_index.counts["unlabelled"]) == ("table", 3)


@pytest.mark.image_input(SECTION, "a folder of unlabelled images that holds the labelled ones too", "refused")
def test_unlabelled_folder_around_the_labelled_images_is_refused(root: Path) -> None:
    for folder in (root, root.parent):
        with pytest.raises(FolderError, match="holds the labelled images too") as caught:
            scan_dataset(root, LABELS, BySeed(), unlabelled=[folder])
        assert caught.value.pointer == "/unlabelled"


def test_a_dataset_to_measure_on_needs_an_image_with_a_label(root: Path) -> None:
    source, split = ImageSource(unmatched="skip"), AllImages(by="all", part="test")
    with pytest.raises(FolderError, match="no image to measure on"):
        scan_dataset(root, ["gull", "ibis"], split, source=source, unlabelled=[root / "more"])
