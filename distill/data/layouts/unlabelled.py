"""Folders of images without labels, in any structure. Imports no torch."""

import os
from collections.abc import Sequence
from pathlib import Path

from distill.data import image_folders
from distill.data.image_folders import FolderError
from distill.data.image_index import Item
from distill.data.splits import NO_LABEL
from limbeck.shared.images.kinds import IMAGE_SUFFIXES


def unlabelled_items(root: Path, folders: Sequence[Path]) -> list[Item]:
    """The images at any depth below each of `folders`, as unlabelled images of a dataset in `root`, sorted.

    A folder may lie outside `root`; the paths of its images are relative to `root` all the same. Raises FolderError.
    """
    items: list[Item] = []
    for folder in folders:
        below = image_folders.resolve_folder(folder)
        found = image_folders.images_below(below, below.parent)
        if not found:
            detail = f'the unlabelled folder "{folder.name}" holds no image ({" ".join(IMAGE_SUFFIXES)})'
            raise FolderError("no_images", detail, "/unlabelled")
        prefix = os.path.relpath(below.parent, root)
        items += [Item(os.path.normpath(f"{prefix}/{path}"), NO_LABEL, "unlabelled") for path in sorted(found)]
    return items
