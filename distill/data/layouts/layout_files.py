"""Reads the text, JSON and MATLAB files of published layouts, and finds their folder. Imports no torch."""

import importlib
import io
import json
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from distill.data.files.regular_files import read_regular
from distill.data.image_folders import FolderError, resolve_inside
from distill.data.splits import MEASURED_NAMES, TRAIN_NAMES
from limbeck.shared.text_files import TextFileError, decode

_MAX_SUBFOLDERS = 20
"""A folder with more subfolders holds classes; the folder of a layout is not looked for below it."""
_DEPTH = 2


def holds(*names: str) -> Callable[[Path], bool]:
    """A test of a folder: whether it holds all these files or folders."""
    return lambda folder: all((folder / name).exists() for name in names)


def find_bases(root: Path, is_base: Callable[[Path], bool]) -> list[Path]:
    """The folders that `is_base` accepts: `root`, else those one level below it, else those two levels below it."""
    level = [root]
    for _ in range(_DEPTH + 1):
        if found := [folder for folder in level if is_base(folder)]:
            return found
        level = [below for folder in level for below in _subfolders(folder)]
    return []


def recognised_by(is_base: Callable[[Path], bool]) -> Callable[[Path], bool]:
    """A test of a root: whether exactly one folder in it, or it itself, is the folder of a layout."""
    return lambda root: len(find_bases(root, is_base)) == 1


def require_base(root: Path, is_base: Callable[[Path], bool], layout: str, needs: str) -> Path:
    """The one folder that `is_base` accepts. Raises FolderError missing_list or ambiguous; `needs`: what it holds."""
    found = find_bases(root, is_base)
    if not found:
        detail = f'layout "{layout}" needs {needs} in the folder or just below it: give the folder that holds them'
        raise FolderError("missing_list", detail, "/images/layout")
    if len(found) > 1:
        names = ", ".join(f'"{folder.relative_to(root).as_posix()}"' for folder in sorted(found)[:5])
        raise FolderError("ambiguous", f'{names} each hold the layout "{layout}": give one of them', "/path")
    return found[0]


def named_file(root: Path, name: str) -> Path:
    """The file that the source names. Raises FolderError outside_root or missing_list."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise FolderError("outside_root", f'"{name}" lies outside the folder', "/images/file")
    if not (root / path).is_file():
        raise FolderError("missing_list", f'there is no file "{name}"', "/images/file")
    return root / path


def read_text(root: Path, path: Path) -> str:
    """The text of a file below `root`. Raises FolderError link, missing_list or bad_list."""
    try:
        return decode(_read_bytes(root, path)).text
    except TextFileError as error:
        raise bad_list(root, path, str(error)) from None


def read_lines(root: Path, path: Path) -> list[str]:
    """The lines of a text file without blank lines and surrounding spaces. Raises FolderError."""
    return [line for text in read_text(root, path).split("\n") if (line := text.strip())]


def read_pairs(root: Path, path: Path) -> list[tuple[str, str]]:
    """The first word and the rest of each line of a text file. Raises FolderError for a line of one word."""
    pairs = [line.split(None, 1) for line in read_lines(root, path)]
    for number, pair in enumerate(pairs, start=1):
        if len(pair) != 2:
            raise bad_list(root, path, f'entry {number} is "{pair[0]}": it must be an id and a value')
    return [(first, rest) for first, rest in pairs]


def read_json(root: Path, path: Path, keep: Iterable[str] = ()) -> Any:
    """The value of a JSON file; with `keep`, objects have only these keys, to save memory. Raises FolderError."""
    kept, data = frozenset(keep), _read_bytes(root, path)

    def trimmed(value: dict[str, Any]) -> dict[str, Any]:
        return {key: value[key] for key in kept & value.keys()}

    try:
        return json.loads(data, object_hook=trimmed if kept else None)
    except (ValueError, RecursionError) as error:
        raise bad_list(root, path, f"is not JSON: {error}") from None


def read_matlab(root: Path, path: Path) -> dict[str, Any]:
    """The variables of a MATLAB file, as `scipy.io.loadmat` with `simplify_cells` returns them.

    Raises FolderError missing_extra if scipy is not installed, bad_list for a damaged file or one of MATLAB 7.3.
    """
    try:
        loadmat = importlib.import_module("scipy.io").loadmat
    except ImportError:
        detail = f'"{path.name}" is a MATLAB file, which needs scipy: install the dependency group `datasets`'
        raise FolderError("missing_extra", detail, "/images/layout") from None
    data = io.BytesIO(_read_bytes(root, path))
    try:
        found: dict[str, Any] = loadmat(data, simplify_cells=True)
    except NotImplementedError:
        raise bad_list(root, path, "is of MATLAB 7.3 (HDF5): save it with `-v7`") from None
    except Exception as error:  # scipy raises errors of many kinds for damaged files
        raise bad_list(root, path, f"is not a MATLAB file, or is damaged: {error}") from None
    return found


def values(root: Path, path: Path, variables: dict[str, Any], name: str) -> list[Any]:
    """An array of a MATLAB file as a list of numbers, texts or structures; scipy reads an array of one as its item.

    Raises FolderError bad_list if the file has no variable of this name.
    """
    if name not in variables:
        raise bad_list(root, path, f'has no variable "{name}"')
    value = variables[name]
    return value.ravel().tolist() if hasattr(value, "ravel") else list(value) if isinstance(value, list) else [value]


def structures(
    root: Path, path: Path, variables: dict[str, Any], name: str, fields: Iterable[str]
) -> list[dict[str, Any]]:
    """A structure array of a MATLAB file, whose structures have these fields. Raises FolderError bad_list."""
    found = values(root, path, variables, name)
    for field in fields:
        if not all(isinstance(one, dict) and field in one for one in found):
            raise bad_list(root, path, f'has no field "{field}" in "{name}"')
    return found


def bad_list(root: Path, path: Path, detail: str) -> FolderError:
    """The error for a file of a layout that cannot be read."""
    return FolderError("bad_list", f'"{path.relative_to(root).as_posix()}" {detail}', "/path")


def part_in_name(name: str) -> str | None:
    """The part that a file or folder is named after: `instances_train2017.json` is `train`, `valid` is `valid`."""
    for word in re.split(r"[^a-z]+", Path(name).name.lower()):
        if word in TRAIN_NAMES:
            return "train"
        if word in MEASURED_NAMES:
            return word
    return None


def _subfolders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            found = [e.path for e in entries if not e.name.startswith(".") and e.is_dir()]
    except OSError:
        return []
    return sorted(map(Path, found)) if len(found) <= _MAX_SUBFOLDERS else []


def _read_bytes(root: Path, path: Path) -> bytes:
    resolve_inside(path, root)
    try:
        return read_regular(path)
    except FileNotFoundError:
        detail = f'there is no file "{path.relative_to(root).as_posix()}"'
        raise FolderError("missing_list", detail, "/path") from None
    except OSError as error:
        raise bad_list(root, path, f"cannot be read: {error.strerror}") from None
