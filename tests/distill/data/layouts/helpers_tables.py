"""Folders with tables, and scans of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from distill.data.dataset.scan import ScannedDataset, scan_dataset
from distill.data.image_folders import FolderError
from distill.data.image_source import ImageSource
from distill.data.splits import SPLIT
from tests.distill.data.helpers_index import LABELS

ALL = {"by": "all"}
IMAGES = ("a.jpg", "b.jpg", "c.jpg", "d.jpg")
PAIRS = {"a.jpg": "crane", "b.jpg": "crane", "c.jpg": "red finch", "d.jpg": "blue jay"}
"""Images of the examples, with their labels."""


def create_images(root: Path, folder: str = "", names: tuple[str, ...] = IMAGES) -> Path:
    """Empty image files in a folder of `root`; returns `root`."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    for name in names:
        (root / folder / name).write_bytes(b"")
    return root


def scan_source(root: Path, split: Mapping[str, Any] = ALL, **source: Any) -> ScannedDataset:
    return scan_dataset(root, LABELS, SPLIT.validate_python(split), None, ImageSource.model_validate(source))


def pairs(scanned: ScannedDataset) -> dict[str, str]:
    """Image path -> label."""
    return {item.path: LABELS[item.label] for item in scanned.image_index}


def source_error(root: Path, split: Mapping[str, Any] = ALL, **source: Any) -> FolderError:
    """The error that a scan raises; its message is one line."""
    with pytest.raises(FolderError) as caught:
        scan_source(root, split, **source)
    assert "\n" not in caught.value.detail
    return caught.value
