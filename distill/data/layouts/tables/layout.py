"""The listing of a table of images. Paths are relative to the table, or to `image_folder`. Imports no torch.

Rows of one image are joined: their labels, and the first caption. An image that is listed but missing is refused, or
skipped by choice; an image without a label is skipped and counted. Without a column of labels, the folder of an image
is its label, as in class folders.
"""

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from distill.data.image_folders import FolderError
from distill.data.image_source import ImageSource
from distill.data.layouts.listing import ListedImage, Listing
from distill.data.layouts.tables.columns import Columns, choose, is_filled, no_label_column
from distill.data.layouts.tables.files import TableFile, part_of_value, recognises, tables_of
from distill.data.layouts.tables.paths import ImagePaths
from distill.data.layouts.tables.rows import Table
from limbeck.shared.images.kinds import is_image_name
from limbeck.shared.labels import quoted

__all__ = ["read", "recognises"]

NO_LABEL, NOT_LISTED = "no label", "image that no table lists"


@dataclass(slots=True)
class _JoinedImage:
    """An image of one or more rows."""

    labels: tuple[str, ...]
    part: str | None
    caption: str | None
    line: int


@dataclass
class _Collected:
    """The images of all tables, by path, and the notes about them.

    `beside`: the names of all files in each folder in which images were looked for.
    """

    images: dict[str, _JoinedImage] = field(default_factory=dict)
    beside: dict[str, frozenset[str]] = field(default_factory=dict)
    repeated_rows: int = 0
    more_captions: int = 0


def read(root: Path, source: ImageSource) -> Listing:
    """The images of the tables in `root`. Raises FolderError."""
    listing = Listing("table")
    collected = _Collected()
    for file in tables_of(root, source):
        _read_table(root, source, file, listing, collected)
    for path, image in collected.images.items():
        if image.labels:
            listing.images.append(ListedImage(path, image.labels, image.part, image.caption))
        else:
            listing.skipped.add(NO_LABEL, path)
    if not collected.images:
        raise FolderError("no_images", "no image of the table is there: give images.image_folder", "/images/missing")
    if not listing.images:
        raise FolderError("no_label", "no image of the table has a label: give images.columns.label", "/images/columns")
    _report_unlisted(listing, collected)
    if collected.repeated_rows:
        listing.notes.append(f"{collected.repeated_rows:,} rows repeat the image and the label of others")
    if collected.more_captions:
        listing.notes.append(f"{collected.more_captions:,} further captions are not used: each image has one")
    return listing


def _read_table(root: Path, source: ImageSource, file: TableFile, listing: Listing, collected: _Collected) -> None:
    table = file.table
    columns = choose(table, source.columns)
    listing.notes.append(_described(table, columns))
    base = posixpath.dirname(table.name) if source.image_folder is None else _image_folder(root, source.image_folder)
    paths = ImagePaths(root, table.name, base)
    if source.image_folder is None:
        sample = [(row.line, str(row.cells[columns.image]).strip()) for row in table.sample]
        paths.set_base([(line, value) for line, value in sample if value], PurePosixPath(table.name).stem)
    num_rows, missing, folders = 0, Missing(table.name), set[tuple[str, ...]]()
    for listed, path, image in _images(table, columns, paths, file.part, source):
        num_rows += 1
        if path is None:
            missing.add(f"{quoted(listed)} on line {image.line}")
        else:
            folders.add(image.labels)
            _add(collected, path, image, table.name)
    missing.close(source, listing, num_rows, paths.base)
    collected.beside |= paths.files()
    if columns.label is None and len(folders) == 1:
        raise no_label_column(table, columns)
    listing.label_noun = "folder" if columns.label is None else "label"
    listing.notes += [f"{note}: {count:,}" if count > 1 else note for note, count in paths.notes.items()]


def _report_unlisted(listing: Listing, collected: _Collected) -> None:
    """Report the images in the folders of the tables that no table lists."""
    for folder, names in sorted(collected.beside.items()):
        for name in sorted(filter(is_image_name, names)):
            if (path := f"{folder}/{name}" if folder else name) not in collected.images:
                listing.skipped.add(NOT_LISTED, path)


@dataclass
class Missing:
    """Images that a table lists, and that are not there or are no image files."""

    table: str
    pointer: str = "/images/missing"
    places: list[str] = field(default_factory=list)

    def add(self, place: str) -> None:
        """Count an image; `place` quotes its path and gives its line."""
        self.places.append(place)

    def close(self, source: ImageSource, listing: Listing, num_rows: int, folder: str) -> None:
        """Skip these images if the source says so. Raises FolderError missing_image otherwise."""
        if self.places and source.missing == "refuse":
            raise FolderError(
                "missing_image",
                f"{self.table}: {len(self.places):,} of {num_rows:,} images are missing or no image files, the first "
                f"is {self.places[0]} (looked in {folder or 'the folder'}): add them, give images.image_folder, or "
                'leave them out by images.missing "skip"',
                self.pointer,
            )
        for place in self.places:
            listing.skipped.add("missing", f"{self.table}: {place}")


def _images(
    table: Table, columns: Columns, paths: ImagePaths, part: str | None, source: ImageSource
) -> Iterator[tuple[str, str | None, _JoinedImage]]:
    """Path as listed; path below the root, None if there is no such image; and the image of each row."""
    optional = (columns.label, columns.part, columns.caption)
    positions = [columns.image, *(at for at in optional if at is not None)]
    for line, cells in table.rows(positions):
        rest = iter(cells[1:])
        label, stated, caption = (None if at is None else next(rest) for at in optional)
        listed = str(cells[0]).strip() if is_filled(cells[0]) else ""
        path = paths.find(listed, line) if listed else None
        if path is not None and not is_image_name(path):
            path = None
        labels = labels_of(label, source.label_separator)
        if columns.label is None and path is not None:
            labels = tuple(filter(None, [posixpath.basename(posixpath.dirname(path))]))
        of_row = part_of_value(stated, is_train=columns.is_train)
        yield listed, path, _JoinedImage(labels, of_row or part, caption_of(caption), line)


def _add(collected: _Collected, path: str, image: _JoinedImage, table: str) -> None:
    first = collected.images.setdefault(path, image)
    if first is image:
        return
    if first.part != image.part:
        detail = (
            f"{table} line {image.line}: {quoted(path)} is in part {image.part or 'none'}, and on line {first.line} in "
            f"{first.part or 'none'}: give each image one part"
        )
        raise FolderError("image_twice", detail, "/images/file")
    new = [label for label in image.labels if label not in first.labels]
    collected.repeated_rows += not new and image.caption in (None, first.caption)
    collected.more_captions += bool(first.caption and image.caption and image.caption != first.caption)
    first.labels += tuple(new)
    first.caption = first.caption or image.caption


def labels_of(value: object, separator: str | None) -> tuple[str, ...]:
    """The labels in a cell: one, the items of a list, or those between separators; each once, without empty ones."""
    if isinstance(value, str) and separator is None:
        label = value.strip()
        return (label,) if label else ()
    if isinstance(value, list | tuple):
        items = [label for item in value for label in labels_of(item, None)]
    elif not is_filled(value) or isinstance(value, dict):
        return ()
    elif isinstance(value, float) and value.is_integer():  # a column of integers with gaps, as pandas writes it
        return (str(int(value)),)
    else:
        items = [item.strip() for item in (str(value).split(separator) if separator else [str(value)])]
    return tuple(dict.fromkeys(item for item in items if item))


def caption_of(value: object) -> str | None:
    """The caption in a cell; of a list, the first."""
    if isinstance(value, list | tuple):
        value = next(filter(is_filled, value), None)
    return " ".join(str(value).split()) or None if is_filled(value) else None


def _image_folder(root: Path, name: str) -> str:
    folder = posixpath.normpath(name)
    if posixpath.isabs(folder) or folder.startswith("..") or not (root / folder).resolve().is_relative_to(root):
        raise FolderError("outside_root", f'"{name}" lies outside the folder', "/images/image_folder")
    if not (root / folder).is_dir():
        raise FolderError("no_such_folder", f'there is no folder "{name}"', "/images/image_folder")
    return "" if folder == "." else folder


def _described(table: Table, columns: Columns) -> str:
    """How a table is read, in words."""

    def words(position: int | None, without: str) -> str:
        if position is None:
            return without
        return quoted(table.header[position]) if table.header else f"column {position}"

    found = [f"image {words(columns.image, '')}", f"label {words(columns.label, 'by folder')}"]
    found += [f"part {words(columns.part, '')}"] if columns.part is not None else []
    found += [f"caption {words(columns.caption, '')}"] if columns.caption is not None else []
    return f"{table.name}: {', '.join(found)}"
