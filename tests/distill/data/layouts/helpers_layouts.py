"""Miniatures of published datasets, and listings of them, for the tests of layouts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from distill.data.image_folders import FolderError
from distill.data.image_source import ImageSource
from distill.data.layouts.listing import ListedImage, Listing
from distill.data.layouts.registry import list_images

Image = ListedImage


def write(root: Path, files: Mapping[str, str]) -> Path:
    """Write text files below `root`; returns `root`."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


def save_matlab(file: Path, variables: dict[str, Any]) -> None:
    """Write a MATLAB file; skips the test if scipy is not installed."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pytest.importorskip("scipy.io").savemat(file, variables)


def listing_of(root: Path, layout: str = "auto", **source: object) -> Listing:
    """The listing of a folder."""
    return list_images(root.resolve(), ImageSource.model_validate({"layout": layout, **source}), needs_parts=False)


def listing_error(root: Path, layout: str = "auto", **source: object) -> FolderError:
    """The error that listing a folder raises."""
    with pytest.raises(FolderError) as caught:
        listing_of(root, layout, **source)
    assert "\n" not in caught.value.detail
    return caught.value
