"""The labels of validation images that lie in one folder, as in the archives of ImageNet. Imports no torch."""

import csv
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from distill.data.image_folders import FolderError
from distill.data.layouts.layout_files import bad_list, read_lines, read_text
from distill.data.layouts.published.wordnet import find_file, is_wnid, numbers_of

Reader = Callable[[Path, Path, Sequence[str], Sequence[str]], dict[str, str]]
"""Reads (root, file, sorted names of all images, sorted WordNet ids) to the WordNet id of each image's stem."""


def read_labels(root: Path, base: Path, folder: Path, names: Sequence[str], wnids: Sequence[str]) -> dict[str, str]:
    """The WordNet id of each image by the stem of its name, from the first label file that is there.

    `names`: of all images of the folder, sorted. `wnids`: of all classes, sorted. Raises FolderError.
    """
    for name, read in _READERS.items():
        if file := find_file(root, base, name) or find_file(root, folder, name):
            return read(root, file, names, wnids)
    detail = f'"{folder.relative_to(root).as_posix()}" has no class folders, and none of {", ".join(_READERS)} is there'
    raise FolderError("missing_list", f"{detail}: add one, or exclude the folder", "/images/exclude")


def _solution(root: Path, file: Path, names: Sequence[str], wnids: Sequence[str]) -> dict[str, str]:
    """Kaggle: `ILSVRC2012_val_00048981,n03995372 85 1 499 272`."""
    rows = list(csv.reader(read_text(root, file).splitlines()))[1:]
    return _ids(root, file, {row[0]: row[1].split()[0] for row in rows if len(row) > 1 and row[1].strip()})


def _annotations(root: Path, file: Path, names: Sequence[str], wnids: Sequence[str]) -> dict[str, str]:
    """Tiny ImageNet: `val_0.JPEG n03444034 0 32 44 62`."""
    rows = [line.split() for line in read_lines(root, file)]
    return _ids(root, file, {Path(row[0]).stem: row[1] for row in rows if len(row) > 1})


def _synsets(root: Path, file: Path, names: Sequence[str], wnids: Sequence[str]) -> dict[str, str]:
    """One WordNet id per image, in the order of the images' names."""
    return _ids(root, file, _in_order(root, file, names))


def _truth(root: Path, file: Path, names: Sequence[str], wnids: Sequence[str]) -> dict[str, str]:
    """The devkit: one class number from 1 per image, in the order of the images' names; `meta.mat` has the ids."""
    meta = find_file(root, file.parent, "meta.mat")
    if meta is None:
        detail = (
            f'"{file.name}" has class numbers, whose WordNet ids are in meta.mat of the devkit: put it beside the file'
        )
        raise FolderError("missing_list", detail, "/images/layout")
    numbers = numbers_of(root, meta)
    ids = {stem: numbers.get(_number(root, file, text), "") for stem, text in _in_order(root, file, names).items()}
    return _ids(root, file, ids)


def _indices(root: Path, file: Path, names: Sequence[str], wnids: Sequence[str]) -> dict[str, str]:
    """Caffe: `ILSVRC2012_val_00000001.JPEG 65`, an index from 0 into the sorted ids of all 1000 classes."""
    if len(wnids) != 1000:
        detail = (
            f'"{file.name}" has class indices, which need a mapping file with 1000 classes: {len(wnids)} were found'
        )
        raise FolderError("missing_list", detail, "/images/layout")
    rows = [line.split() for line in read_lines(root, file)]
    found = {Path(row[0]).stem: _number(root, file, row[1]) for row in rows if len(row) > 1}
    return _ids(root, file, {stem: wnids[at] if at < len(wnids) else "" for stem, at in found.items()})


_READERS: dict[str, Reader] = {
    "LOC_val_solution.csv": _solution,
    "val_annotations.txt": _annotations,
    "imagenet_2012_validation_synset_labels.txt": _synsets,
    "ILSVRC2012_validation_ground_truth.txt": _truth,
    "val.txt": _indices,
}


def _in_order(root: Path, file: Path, names: Sequence[str]) -> dict[str, str]:
    """Each line by the number in its image's name (`ILSVRC2012_val_00000001.JPEG` is the first line)."""
    lines = read_lines(root, file)
    found = {}
    for name in names:
        stem = Path(name).stem
        match = re.fullmatch(r"ILSVRC2012_val_(\d{8})", stem)
        if match is None or not 1 <= int(match[1]) <= len(lines):
            raise bad_list(root, file, f'has {len(lines)} lines, and none for "{name}"')
        found[stem] = lines[int(match[1]) - 1]
    return found


def _number(root: Path, file: Path, text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise bad_list(root, file, f'has "{text}" where a class number must be')
    return int(text)


def _ids(root: Path, file: Path, found: dict[str, str]) -> dict[str, str]:
    if wrong := next((stem for stem, id in found.items() if not is_wnid(id)), None):
        raise bad_list(root, file, f'gives "{found[wrong]}" for {wrong}, which is not a WordNet id')
    return found
