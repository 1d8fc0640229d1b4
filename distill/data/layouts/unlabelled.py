"""Images without labels: folders of any structure, and shards whose samples need no label. Imports no torch."""

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from distill.data import image_folders
from distill.data.files.exclusion import Exclusion
from distill.data.image_folders import FolderError, files_below
from distill.data.layouts.webdataset.members import read_members
from limbeck.shared.images.file_names import shown_path
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


def patterns_against(folders: Sequence[Path], root: Path) -> list[str]:
    """Patterns that leave out those of the unlabelled folders that lie in `root`, so that they are no class folders.

    Raises FolderError no_such_folder or link; and ambiguous for a folder that holds `root`, whose labelled images would
    be trained on as unlabelled ones.
    """
    patterns: list[str] = []
    for at, folder in enumerate(folders):
        pointer = f"/unlabelled/{at}"
        try:
            real = image_folders.resolve_folder(folder)
        except FolderError as error:
            raise FolderError(error.code, f"unlabelled images: {error.detail}", pointer) from None
        if root.is_relative_to(real):
            detail = f'the unlabelled folder "{folder.name}" holds the labelled images: give a folder without them'
            raise FolderError("ambiguous", detail, pointer)
        inside = [path for path in (folder.parent.resolve() / folder.name, real) if path.is_relative_to(root)]
        names = dict.fromkeys(shown_path(path.relative_to(root).as_posix()) for path in inside)
        patterns += [f"/{glob.escape(name)}/" for name in names]
    return patterns


def _members(shard: str, root: Path, exclusion: Exclusion) -> list[str]:
    return [
        f"{shard}!{member.first}+{member.size}!{member.name}"
        for member in read_members(root / shard, root, exclusion)
        if is_image_name(member.name)
    ]
