"""Chooses the tables of a folder, and tells a folder of tables from one of class folders. Imports no torch."""

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from distill.data import image_folders
from distill.data.image_folders import FolderError, json_pointer
from distill.data.image_source import ImageSource
from distill.data.layouts.tables import columns
from distill.data.layouts.tables.rows import LIST_SUFFIXES, SUFFIXES, Table, read_table
from distill.data.splits import MEASURED_NAMES, TRAIN_NAMES
from limbeck.shared.images.kinds import is_image_name

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
"""Tables of Hugging Face image folders."""
_NOT_TABLES = ("captions.json",)
_CONTAINERS = frozenset("image images imgs img jpg jpeg jpegs jpegimages pictures pics photos data files".split())  # noqa: SIM905


class TableFile(NamedTuple):
    """A table, and the part that its name or folder states."""

    table: Table
    part: str | None


def part_in_name(name: str) -> str | None:
    """The part that a file or folder is named after, such as `train` for `train_labels` or `train-00000-of-00002`."""
    candidates = {part for word in re.split(r"[^a-z0-9]+", name.lower()) if (part := _part(word))}
    return _part(name.lower()) or (candidates.pop() if len(candidates) == 1 else None)


def part_of_value(value: object, *, is_train: bool = False) -> str | None:
    """The part that a cell states, in lower case, with one name for training; None for an empty cell."""
    if not columns.is_filled(value):
        return None
    text = str(value).strip().lower()
    if is_train:
        return "train" if text in ("1", "1.0", "true", "yes", "y", "t") else "test"
    return "train" if text in TRAIN_NAMES else text


def file_below(root: Path, name: str, field: str) -> Path:
    """The file that a field of the source names. Raises FolderError outside_root or missing_table."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not (root / path).resolve().is_relative_to(root):
        raise FolderError("outside_root", f'"{name}" lies outside the folder', json_pointer("images", field))
    if not (root / path).is_file():
        found = ", ".join(sorted(file.name for file in root.iterdir() if file.suffix.lower() in SUFFIXES)[:10])
        detail = f'there is no file "{name}"' + (f"; the folder has {found}" if found else "")
        raise FolderError("missing_table", detail, json_pointer("images", field))
    return root / path


def tables_of(root: Path, source: ImageSource) -> list[TableFile]:
    """The tables to read: the one that is given, else the only one, or one for each part.

    Raises FolderError missing_table or ambiguous_table.
    """
    if source.file is not None:
        name = PurePosixPath(source.file)
        return [TableFile(read_table(file_below(root, source.file, "file"), str(name)), None)]
    if found := _metadata(root):
        return found
    unreadable: list[FolderError] = []
    tables = _with_images(root, unreadable)
    if unreadable and (not tables or any(part is not None for _, part in tables)):
        detail = f"{unreadable[0].detail}; or give the table to read as images.file"
        raise FolderError("bad_table", detail, "/images/file")
    if not tables:
        detail = "the folder has no table of images (.csv, .tsv, .jsonl, .json, .parquet): give images.file"
        raise FolderError("missing_table", detail, "/images/file")
    parts = [part for _, part in tables if part is not None]
    if len(tables) == 1 or len(parts) == len(set(parts)) == len(tables):
        return tables
    names = ", ".join(file.table.name for file in tables[:10])
    raise FolderError("ambiguous_table", f"several tables list images ({names}): give images.file", "/images/file")


def recognises(root: Path) -> bool:
    """Whether the folder has a table of images, and no class folders or shards.

    A table beside class folders is read only if the source names it, because both could be meant.
    """
    if not root.is_dir() or any(root.glob("*.tar")):
        return False
    unreadable: list[FolderError] = []
    return (has_table(root, unreadable) or bool(unreadable)) and not has_class_folders(root)


def has_table(root: Path, unreadable: list[FolderError] | None = None) -> bool:
    """Whether the folder, or a folder of a part in it, has a table of images; `unreadable` as in `_with_images`."""
    try:
        return bool(_metadata(root) or _with_images(root, [] if unreadable is None else unreadable))
    except FolderError as error:
        return error.code == "needs_pyarrow"


def _metadata(root: Path) -> list[TableFile]:
    """The table `metadata.*` of the folder, or those of its parts."""
    found: list[tuple[Path, str | None]] = [(root / name, None) for name in METADATA if (root / name).is_file()]
    if not found:
        for folder in image_folders.class_folders(root):
            part = _part(folder.name.lower())
            found += [(folder / name, part) for name in METADATA if part and (folder / name).is_file()]
    inside = [(path, part) for path, part in found if path.resolve().is_relative_to(root)]
    tables = [TableFile(read_table(path, path.relative_to(root).as_posix()), part) for path, part in inside]
    return [file for file in tables if columns.has_images(file.table) and columns.has_labels(file.table)]


def _with_images(root: Path, unreadable: list[FolderError]) -> list[TableFile]:
    """The tables in the folder that list images: those with labels, else the others.

    Adds the errors of malformed tables to `unreadable`; a text or JSON file that is no table is none of them.
    """
    found = list(_parsed(root, unreadable))
    return [file for file in found if columns.has_labels(file.table)] or found


def _parsed(root: Path, unreadable: list[FolderError]) -> Iterator[TableFile]:
    """The tables in the folder that list images; links that leave it are left out."""
    files = sorted(path for path in root.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    for path in [file for file in files if file.name not in _NOT_TABLES and not file.name.startswith(".")]:
        if not path.resolve().is_relative_to(root):
            continue
        try:
            table = read_table(path, path.name)
        except FolderError as error:
            if error.code == "needs_pyarrow":
                raise
            if path.suffix.lower() not in (*LIST_SUFFIXES, ".json"):
                unreadable.append(error)
            continue
        if columns.has_images(table):
            yield TableFile(table, part_in_name(path.stem))


def has_class_folders(root: Path) -> bool:
    """Whether two folders have images and are not named like a folder of all images, or a part has such folders."""
    num_found = 0
    for folder in image_folders.class_folders(root):
        if _part(folder.name.lower()):
            if sum(map(has_image, image_folders.class_folders(folder))) > 1:
                return True
        elif not _CONTAINERS & set(re.split(r"[^a-z]+", folder.name.lower())) and not part_in_name(folder.name):
            num_found += has_image(folder)
    return num_found > 1


def has_image(folder: Path) -> bool:
    """Whether a file at any depth below the folder is named like an image."""
    return any(is_image_name(name) for _, _, names in os.walk(folder) for name in names)


def _part(name: str) -> str | None:
    return "train" if name in TRAIN_NAMES else name if name in MEASURED_NAMES else None
