"""Text files with one image path per line, relative to the root. Imports no torch.

The label of an image stands after its path (`crane/01.jpg red finch`, `crane/01.jpg,3`); else its folder is its label.
"""

import posixpath
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from distill.data.image_folders import FolderError
from distill.data.image_source import ImageSource
from distill.data.layouts.listing import ListedImage, Listing
from distill.data.layouts.tables.layout import Missing
from distill.data.layouts.tables.paths import ImagePaths
from distill.data.layouts.tables.rows import read_text, split_line
from distill.data.splits import LABELLED_PARTS, ByImageLists
from limbeck.shared.images.file_names import name_as_text


class _Line(NamedTuple):
    """An image of a list. `label`: after the path; empty without one."""

    place: str
    path: str
    label: str


def read(root: Path, split: ByImageLists, source: ImageSource) -> Listing:
    """The images of the lists of a split. Raises FolderError."""
    listing = Listing("image_lists")
    listed: dict[str, tuple[str, str, set[str]]] = {}
    for part in LABELLED_PARTS:
        name: str | None = getattr(split, part)
        for line in _listed_images(root, name, f"/split/{part}", source, listing) if name else ():
            place, first_part, labels = listed.setdefault(line.path, (line.place, part, set()))
            if place != line.place and (part != first_part or not line.label or line.label in labels):
                detail = f"{line.path} is in {place} and {line.place}"
                raise FolderError("image_twice", detail, f"/split/{part}")
            labels.add(line.label)
            label = line.label or name_as_text(posixpath.basename(posixpath.dirname(line.path)))
            listing.images.append(ListedImage(line.path, (label,), part))
    return listing


def _listed_images(root: Path, name: str, pointer: str, source: ImageSource, listing: Listing) -> Iterator[_Line]:
    """The images that the text file `name` below `root` lists; blank lines are skipped.

    Raises FolderError missing_list, bad_table, missing_image, no_images, no_label or outside_root; the message gives
    the line number.
    """
    text = read_text(_list_file(root, name, pointer), name, pointer)
    paths, missing, has_label, num_images = ImagePaths(root, name, "", pointer), Missing(name, pointer), None, 0
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{name} line {number}"
        listed = split_line(line)
        if listed is None:
            raise FolderError("no_images", f'{place}: "{line.strip()}" does not begin with an image path', pointer)
        if has_label is not None and has_label != bool(listed.label):
            detail = f"{place} has {'a' if listed.label else 'no'} label after its path, unlike the lines before it"
            raise FolderError("no_label", detail, pointer)
        has_label, num_images = bool(listed.label), num_images + 1
        path = paths.find(listed.path, number)
        if path is None:
            missing.add(f'"{listed.path}" on line {number}')
        else:
            yield _Line(place, path, listed.label)
    missing.close(source, listing, num_images, "")


def _list_file(root: Path, name: str, pointer: str) -> Path:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not (root / path).resolve().is_relative_to(root):
        raise FolderError("outside_root", f'"{name}" lies outside the folder', pointer)
    if not (root / path).is_file():
        raise FolderError("missing_list", f'there is no file "{name}"', pointer)
    return root / path
