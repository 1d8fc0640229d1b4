"""Files and scans for the tests of the image index."""

from pathlib import Path

import pytest

from distill.data.dataset.scan import scan
from distill.data.image_folders import FolderError
from distill.data.image_index import ImageIndex
from distill.data.splits import SPLIT

LABELS = ("Black footed Albatross", "crane", "red finch", "blue jay")


def create(root: Path, *paths: str) -> Path:
    """Create empty files below `root`; returns `root`."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"")
    return root


def create_ten(root: Path, *folders: str) -> Path:
    """Create ten empty images in each folder; returns `root`."""
    return create(root, *(f"{folder}/{number}.jpg" for folder in folders for number in range(10)))


def scan_with(root: Path, split: dict[str, object], folder_map: dict[str, str] | None = None) -> ImageIndex:
    return scan(root, LABELS, SPLIT.validate_python(split), folder_map)


def scan_error(root: Path, split: dict[str, object], folder_map: dict[str, str] | None = None) -> FolderError:
    """The error that a scan raises."""
    with pytest.raises(FolderError) as caught:
        scan_with(root, split, folder_map)
    return caught.value
