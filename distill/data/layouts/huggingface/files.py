"""Finds the Parquet and Arrow files of a data set, and the part of each. Imports no torch."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from distill.data.files.regular_files import read_regular
from distill.data.image_folders import FolderError, resolve_inside
from distill.data.image_source import ImageSource
from distill.data.layouts.tables.files import part_in_name, part_of_value

SUFFIXES = (".parquet", ".arrow", ".feather")
_SIGNS = ("dataset_dict.json", "dataset_info.json", "state.json", "dataset_infos.json")
_NUMBERED = re.compile(r"(?P<split>[\w.]+(?:-[\w.]+)*?)-\d{5}-of-\d{5}(?:-[0-9a-f]+)?")
_MAX_DEPTH = 3
_MAX_SUBFOLDERS = 20


class DataFile(NamedTuple):
    """A file of a data set: its path below the root, and its part."""

    name: str
    part: str | None


def may_be_dataset(root: Path) -> bool:
    """Whether the folder could be a data set, by the names in it alone."""
    with os.scandir(root) as entries:
        found = [(entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith(".")]
    if any(name in _SIGNS or name.lower().endswith(SUFFIXES) for name, _ in found):
        return True
    folders = [name for name, is_dir in found if is_dir]
    return len(folders) <= _MAX_SUBFOLDERS and next(_walk(root, root, 1), None) is not None


def first_file(root: Path, file: str | None) -> DataFile:
    """The first file of the data set, by name. Raises FolderError missing_table or outside_root."""
    return _data_file(_files(root, file)[0], root)


def data_files(root: Path, source: ImageSource) -> list[DataFile]:
    """The files of the data set, by name. Raises FolderError missing_table, ambiguous_table or outside_root."""
    found = _files(root, source.file)
    here = root / (source.file or "")
    configs = {_config(path, here) for path in found} if here.is_dir() else set()
    if len(configs) > 1:
        names = ", ".join(sorted(configs)[:10])
        detail = f"the folder holds several configurations of a data set ({names}): give one as images.file"
        raise FolderError("ambiguous_table", detail, "/images/file")
    return [_data_file(path, root) for path in found]


def _files(root: Path, name: str | None) -> list[Path]:
    """The file of that name, or the data files below the folder of that name. Raises FolderError."""
    here = root / (name or "")
    if not here.resolve().is_relative_to(root):
        raise FolderError("outside_root", f'"{name}" lies outside the folder', "/images/file")
    found = [here] if here.is_file() else sorted(_walk(here, root, 0)) if here.is_dir() else []
    for path in found:
        resolve_inside(path, root)
    if not found:
        detail = f'"{name}" is no file or folder with' if name else "the folder has no"
        raise FolderError("missing_table", f"{detail} Parquet or Arrow files", "/images/file")
    return found


def _walk(here: Path, root: Path, depth: int) -> Iterator[Path]:
    """The data files below a folder; of a saved set, those that its state names."""
    if not here.resolve().is_relative_to(root):
        return
    with os.scandir(here) as entries:
        visible = [entry for entry in entries if not entry.name.startswith(".")]
        found = sorted((entry.name, entry.is_dir()) for entry in visible if entry.is_dir() or entry.is_file())
    stated = _stated(here)
    for name, is_dir in found:
        if is_dir and depth < _MAX_DEPTH:
            yield from _walk(here / name, root, depth + 1)
        elif name.lower().endswith(SUFFIXES) and not name.startswith("cache-") and (not stated or name in stated):
            yield here / name


def _stated(folder: Path) -> set[str]:
    """The files that `state.json` of a saved set names; empty without one."""
    try:
        state = json.loads(read_regular(folder / "state.json"))
        return {file["filename"] for file in state["_data_files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _data_file(path: Path, root: Path) -> DataFile:
    """A file with the part that its name states, else the nearest folder that is named after a part."""
    numbered = _NUMBERED.fullmatch(path.stem)
    part = part_in_name(path.stem)
    relative = path.relative_to(root)
    if part is None:
        folders = [part_in_name(folder) for folder in reversed(relative.parts[:-1])]
        part = next(filter(None, folders), None)
    if part is None and (path.parent.parent / "dataset_dict.json").is_file():
        part = part_of_value(path.parent.name)
    if part is None and numbered and numbered["split"] != "data":
        part = part_of_value(numbered["split"])
    return DataFile(relative.as_posix(), part)


def _config(path: Path, root: Path) -> str:
    """The folder of a file, without folders of parts and the folder `data`."""
    folders = [name for name in path.relative_to(root).parts[:-1] if part_in_name(name) is None and name != "data"]
    is_split = (path.parent.parent / "dataset_dict.json").is_file()
    return "/".join(folders[:-1] if is_split and folders and folders[-1] == path.parent.name else folders) or "."
