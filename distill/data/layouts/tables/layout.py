"""The listing of a table of images. Paths are relative to the table, or to `image_folder`. Imports no torch.

Rows of one image are joined: their labels, and the first caption. An image that is listed but missing is refused, or
skipped by choice; an image without a label is skipped and counted. Without a column of labels, the folder of an image
is its label, as in class folders.
"""

import posixpath
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from distill.data.image_folders import FolderError
from distill.data.image_source import ImageSource
from distill.data.layouts.listing import Listing, SkippedFiles
from distill.data.layouts.tables.columns import Columns, choose, is_filled, no_label_column
from distill.data.layouts.tables.files import TableFile, part_of_value, recognises, tables_of
from distill.data.layouts.tables.label_columns import LabelColumns
from distill.data.layouts.tables.listed_rows import ListedRows, ReadTable
from distill.data.layouts.tables.paths import NOWHERE, ImagePaths
from distill.data.layouts.tables.rows import Table
from limbeck.shared.labels import quoted
from limbeck.shared.text import counted

__all__ = ["read", "recognises"]

NO_LABEL, NOT_LISTED = "no label", "image that no table lists"


def read(root: Path, source: ImageSource) -> Listing:
    """The images of the tables in `root`. Raises FolderError."""
    listing, rows = Listing("table"), ListedRows()
    unlisted = SkippedFiles()
    for file in tables_of(root, source):
        _read_table(root, source, file, listing, rows)
    rows.find(lambda path: unlisted.add(NOT_LISTED, path))
    for table in rows.tables:
        _check_table(table, rows, source, listing)
    left_out = {row for table in rows.tables for row in table.missing} | _join(rows, listing)
    if len(left_out) == len(rows.lines):
        raise FolderError("no_images", "no image of the table is there: give images.image_folder", "/images/missing")
    for row in rows.images.unlabelled_rows():
        if row not in left_out:
            listing.skipped.add(NO_LABEL, rows.images.paths[row])
            left_out.add(row)
    listing.images = rows.images
    if left_out:
        kept = array("q", (row for row in range(len(rows.lines)) if row not in left_out))
        listing.images = rows.images.taken(kept, has_repeats=False)
    if not listing.images:
        raise FolderError("no_label", "no image of the table has a label: give images.columns.label", "/images/columns")
    listing.skipped.take(unlisted)
    return listing


def _read_table(root: Path, source: ImageSource, file: TableFile, listing: Listing, rows: ListedRows) -> None:
    table = file.table
    columns = choose(table, source.columns)
    listing.notes.append(_described(table, columns))
    base = posixpath.dirname(table.name) if source.image_folder is None else _image_folder(root, source.image_folder)
    paths = ImagePaths(root, table.name, base)
    if source.image_folder is None:
        sample = [(row.line, str(row.cells[columns.image]).strip()) for row in table.sample]
        paths.set_base([(line, value) for line, value in sample if value], PurePosixPath(table.name).stem)
    rows.begin(paths, table, columns)
    by_folder = columns.label is None and not columns.labels
    listing.label_noun = "folder" if by_folder else "label"
    optional = (columns.label, columns.part, columns.caption)
    several = LabelColumns(table, columns.labels, rows.images.code_of_labels) if columns.labels else None
    label_codes = _Codes(lambda value: rows.images.code_of_labels(labels_of(value, source.label_separator)))
    part_codes = _Codes(
        lambda value: rows.images.code_of_part(part_of_value(value, is_train=columns.is_train) or file.part)
    )
    wanted = [columns.image, *columns.labels, *(at for at in optional if at is not None)]
    for lines, cells in table.batches(wanted):
        rest = iter(cells[1 + len(columns.labels) :])
        nothing: Sequence[object] = [None] * len(lines)
        labels, parts, captions = (nothing if at is None else next(rest) for at in optional)
        rows.add(
            [_text(cell) for cell in cells[0]],
            lines,
            None
            if by_folder
            else list(several.codes(cells[1 : 1 + len(columns.labels)], lines))
            if several
            else [label_codes[value] for value in labels],
            [part_codes[value] for value in parts],
            [caption_of(value) or "" for value in captions] if columns.caption is not None else (),
        )


class _Codes:
    """The code of each value of a column, worked out once for each text."""

    def __init__(self, code_of: Callable[[object], int]) -> None:
        self._code_of = code_of
        self._codes: dict[object, int] = {}

    def __getitem__(self, value: object) -> int:
        if value is not None and type(value) is not str:  # 1, 1.0 and True are equal as keys, and lists are no keys
            return self._code_of(value)
        code = self._codes.get(value)
        if code is None:
            code = self._codes[value] = self._code_of(value)
        return code


def _text(cell: object) -> str:
    if type(cell) is str:
        return cell.strip()
    return str(cell).strip() if is_filled(cell) else ""


def _check_table(table: ReadTable, rows: ListedRows, source: ImageSource, listing: Listing) -> None:
    """Report what is missing. Raises FolderError missing_image or no_label."""
    paths, missing = table.paths, Missing(table.table.name)
    inside = f"{paths.base}/" if paths.base else ""
    for row in table.missing:
        written = rows.images.paths[row].removeprefix(NOWHERE).removeprefix(inside)
        missing.add(f"{quoted(written)} on line {rows.lines[row]}")
    missing.close(source, listing, table.num_rows, paths.base)
    if table.columns.label is None and not table.columns.labels:
        left_out = frozenset(table.missing)
        codes = rows.images.label_codes[table.first : table.first + table.num_rows]
        if len({code for row, code in enumerate(codes, table.first) if row not in left_out}) == 1:
            raise no_label_column(table.table, table.columns)
    listing.notes += [f"{note}: {count:,}" if count > 1 else note for note, count in paths.notes.items()]


def _join(rows: ListedRows, listing: Listing) -> set[int]:
    """Join the rows of one image into its first; returns the others. Raises FolderError image_twice."""
    images, missing = rows.images, {row for table in rows.tables for row in table.missing}
    first: dict[str, int] = {}
    joined: set[int] = set()
    captions: dict[int, str] = {}
    num_repeated, num_captions = 0, 0
    for row in images.paths.repeated_rows():
        path, labels, part, caption = images[row]
        at = row if row in missing else first.setdefault(path, row)
        if at == row:
            continue
        joined.add(row)
        _, known, known_part, known_caption = images[at]
        known_caption = captions.get(at, known_caption)
        if part != known_part:
            detail = (
                f"{rows.table_of(row).table.name} line {rows.lines[row]}: {quoted(path)} is in part {part or 'none'}, "
                f"and on line {rows.lines[at]} in {known_part or 'none'}: give each image one part"
            )
            raise FolderError("image_twice", detail, "/images/file")
        new = tuple(label for label in labels if label not in known)
        num_repeated += not new and caption in (None, known_caption)
        num_captions += bool(known_caption and caption and caption != known_caption)
        images.set_labels(at, known + new)
        if caption and not known_caption:
            captions[at] = caption
    if captions:
        images.set_captions(captions)
    if num_repeated:
        listing.notes.append(f"{counted(num_repeated, 'row repeats', 'rows repeat')} the image and the label of others")
    if num_captions:
        listing.notes.append(f"{num_captions:,} further captions are not used: each image has one")
    return joined


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

    labels = [words(at, "") for at in columns.labels[:5]] + ["…"] * (len(columns.labels) > 5)
    found = [f"image {words(columns.image, '')}"]
    found += [f"labels {' '.join(labels)}" if labels else f"label {words(columns.label, 'by folder')}"]
    found += [f"part {words(columns.part, '')}"] if columns.part is not None else []
    found += [f"caption {words(columns.caption, '')}"] if columns.caption is not None else []
    return f"{table.name}: {', '.join(found)}"
