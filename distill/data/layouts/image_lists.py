"""Text files with one image path per line, relative to the root. Imports no torch.

The label of an image stands after its path (`crane/01.jpg red finch`, `crane/01.jpg,3`); else its folder is its label.
"""

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from distill.data.image_folders import FolderError
from distill.data.image_source import ImageSource
from distill.data.layouts.listing import Listing
from distill.data.layouts.tables.layout import Missing
from distill.data.layouts.tables.paths import ImagePaths
from distill.data.layouts.tables.rows import read_text, split_line
from distill.data.splits import LABELLED_PARTS, ByImageLists
from limbeck.shared.images.file_names import name_as_text


@dataclass
class _List:
    """The images of one list: their `paths`, what stands after them (`labels`, empty without), and their lines."""

    name: str
    part: str
    paths: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)


def read(root: Path, split: ByImageLists, source: ImageSource) -> Listing:
    """The images of the lists of a split. Raises FolderError."""
    listing = Listing("image_lists")
    lists = [
        _read_list(root, _List(name, part), f"/split/{part}", source, listing)
        for part in LABELLED_PARTS
        if (name := getattr(split, part))
    ]
    if len({path for one in lists for path in one.paths}) < sum(len(one.paths) for one in lists):
        _check_repeats(lists)
    images = listing.images
    for one in lists:
        # The labels of a list are few: those after its paths, or its folders.
        values = one.labels if any(one.labels) else [path.rpartition("/")[0] for path in one.paths]
        name_of = str if any(one.labels) else _folder_name
        codes = {value: images.code_of_labels((name_of(value),)) for value in dict.fromkeys(values)}
        images.extend_columns(
            one.paths, map(codes.__getitem__, values), [images.code_of_part(one.part)] * len(one.paths)
        )
    return listing


def _folder_name(folder: str) -> str:
    return name_as_text(posixpath.basename(folder))


def _check_repeats(lists: Sequence[_List]) -> None:
    """Refuse an image that is listed twice, unless one list gives it several labels. Raises FolderError."""
    listed: dict[str, tuple[str, str, set[str]]] = {}
    for one in lists:
        for path, label, line in zip(one.paths, one.labels, one.lines, strict=True):
            place = f"{one.name} line {line}"
            first_place, first_part, labels = listed.setdefault(path, (place, one.part, set()))
            if first_place != place and (one.part != first_part or not label or label in labels):
                raise FolderError("image_twice", f"{path} is in {first_place} and {place}", f"/split/{one.part}")
            labels.add(label)


def _read_list(root: Path, into: _List, pointer: str, source: ImageSource, listing: Listing) -> _List:
    """Read the images of a list `into` it; blank lines are skipped.

    Raises FolderError missing_list, bad_table, missing_image, no_images, no_label or outside_root; the message gives
    the line number.
    """
    text = read_text(_list_file(root, into.name, pointer), into.name, pointer)
    paths, missing = ImagePaths(root, into.name, "", pointer), Missing(into.name, pointer)
    has_label, num_images = None, 0
    plain: dict[str, tuple[str, frozenset[str]]] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        folder, _, name = line.rpartition("/")
        place, files = plain.get(folder) or plain.setdefault(folder, paths.plain_files(folder, number))
        if name in files and not has_label:  # a line that is exactly the path of a file: nearly all of them
            has_label, num_images = False, num_images + 1
            into.paths.append(place + name)
            into.labels.append("")
            into.lines.append(number)
            continue
        if not line.strip():
            continue
        listed = split_line(line)
        if listed is None:
            detail = f'{into.name} line {number}: "{line.strip()}" does not begin with an image path'
            raise FolderError("no_images", detail, pointer)
        if has_label is not None and has_label != bool(listed.label):
            detail = (
                f"{into.name} line {number} has {'a' if listed.label else 'no'} label after its path, unlike the lines "
                "before it"
            )
            raise FolderError("no_label", detail, pointer)
        has_label, num_images = bool(listed.label), num_images + 1
        path = paths.find(listed.path, number)
        if path is None:
            missing.add(f'"{listed.path}" on line {number}')
        else:
            into.paths.append(path)
            into.labels.append(listed.label)
            into.lines.append(number)
    missing.close(source, listing, num_images, "")
    return into


def _list_file(root: Path, name: str, pointer: str) -> Path:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not (root / path).resolve().is_relative_to(root):
        raise FolderError("outside_root", f'"{name}" lies outside the folder', pointer)
    if not (root / path).is_file():
        raise FolderError("missing_list", f'there is no file "{name}"', pointer)
    return root / path
