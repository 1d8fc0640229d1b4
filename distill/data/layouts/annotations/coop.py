"""The split files of CoOp (`split_zhou_Food101.json`): `{"train": [[path, index, name], …], "val": …, "test": …}`.

Imports no torch.
"""

import re
from pathlib import Path
from typing import Any

from distill.data.files.regular_files import open_regular
from distill.data.image_folders import FolderError, class_folders
from distill.data.image_source import ImageSource
from distill.data.layouts.layout_files import bad_list, named_file, read_json, recognised_by, require_base
from distill.data.layouts.listed_images import ListedImages
from distill.data.layouts.listing import Listing

_PATTERN = "split_*.json"
_PARTS = ("train", "val", "test")
_HEAD = re.compile(rb'(\xef\xbb\xbf)?\s*\{\s*"(train|val|test)"\s*:\s*\[\s*[\[\]]')


def _files(folder: Path) -> list[Path]:
    found = sorted(folder.glob(_PATTERN))
    return [file for file in found if _is_split_file(file)] or found


def _is_split_file(file: Path) -> bool:
    """Whether a file begins like a split file; `split_*.json` is also the name of other files."""
    try:
        with open_regular(file) as opened:
            return _HEAD.match(opened.read(1000)) is not None
    except OSError:
        return False


recognises = recognised_by(lambda folder: len(files := _files(folder)) == 1 and _is_split_file(files[0]))


def read(root: Path, source: ImageSource) -> Listing:
    """The images of the split file, which lie in the folder or in one of its folders. Raises FolderError."""
    if source.file:
        base, file = root, named_file(root, source.file)
    else:
        base = require_base(root, lambda folder: bool(_files(folder)), "coop", _PATTERN)
        file, *others = _files(base)
        if others:
            detail = (
                f'there are several split files ({", ".join(one.name for one in _files(base))}): name one in "file"'
            )
            raise FolderError("ambiguous", detail, "/images/file")
    images = ListedImages("coop", root, base, source, label_noun="class")
    folders = ["images", "", *(folder.name for folder in class_folders(base))]
    indices: dict[str, int] = {}
    for part, (path, index, name) in _entries(root, file):
        if indices.setdefault(name, index) != index:
            raise bad_list(root, file, f'gives the class "{name}" the indices {indices[name]} and {index}')
        images.add(path, (name,), part, folders=folders)
    return images.finish()


def _entries(root: Path, file: Path) -> list[tuple[str, tuple[str, int, str]]]:
    """The part of each entry, and the entry: path, index and name of the class."""
    content: Any = read_json(root, file)
    if not isinstance(content, dict) or not content.keys() & set(_PARTS):
        raise bad_list(root, file, "is not a split file of CoOp: it has no train, val or test")
    entries = [(part, entry) for part in _PARTS for entry in content.get(part, ())]
    try:
        return [(part, (str(path), int(index), str(name))) for part, (path, index, name) in entries]
    except (TypeError, ValueError):
        raise bad_list(root, file, "is not a split file of CoOp: an entry must be [path, index, name]") from None
