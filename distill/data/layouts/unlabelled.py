"""Images without labels: folders of any structure, and shards whose samples need no label. Imports no torch."""

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from distill.data import image_folders
from distill.data.files.exclusion import Exclusion
from distill.data.image_folders import FolderError, files_below
from distill.data.image_source import ImageSource
from distill.data.layouts.webdataset.members import read_members
from limbeck.shared.images.kinds import IMAGE_SUFFIXES, is_image_name


def unlabelled_paths(root: Path, folders: Sequence[Path], exclusion: Exclusion) -> list[str]:
    """The images at any depth below each of `folders`, sorted, as paths relative to `root`.

    A folder may lie outside `root`; the paths of its images are relative to `root` all the same. Raises FolderError.
    """
    paths: set[str] = set()
    for folder in folders:
        below = image_folders.resolve_folder(folder)
        found = files_below(below, below.parent, exclusion)
        images = [*found.images, *(path for shard in found.shards for path in _members(shard, below.parent, exclusion))]
        if not images:
            detail = f'the unlabelled folder "{folder.name}" holds no image ({" ".join(IMAGE_SUFFIXES)})'
            raise FolderError("no_images", detail, "/unlabelled")
        above = os.path.relpath(below.parent, root)
        prefix = "" if above == "." else f"{above}/"
        paths |= {f"{prefix}{path}" for path in images}
    return sorted(paths)


def without_folders(source: ImageSource, root: Path, folders: Sequence[Path]) -> ImageSource:
    """`source` without the unlabelled folders that lie inside `root`, so that they are no class folders.

    Raises FolderError for a folder that holds the labelled images, which would be trained on and measured.
    """
    resolved = [folder.resolve() for folder in folders]
    if around := [folder for folder in resolved if root.is_relative_to(folder)]:
        detail = f'the unlabelled folder "{around[0].name}" holds the labelled images too: give a folder beside them'
        raise FolderError("unlabelled_overlap", detail, "/unlabelled")
    inside = [folder for folder in resolved if folder.is_relative_to(root)]
    patterns = [glob.escape(str(folder.relative_to(root))) + "/" for folder in inside]
    return source.model_copy(update={"exclude": (*source.exclude, *patterns)})


def _members(shard: str, root: Path, exclusion: Exclusion) -> list[str]:
    return [
        f"{shard}!{member.first}+{member.size}!{member.name}"
        for member in read_members(root / shard, root, exclusion)
        if is_image_name(member.name)
    ]
