"""Food-101: `images/<class>/<id>.jpg` with `meta/train.txt` and `meta/test.txt`, or `.json`. Imports no torch."""

from pathlib import Path

from distill.data.image_source import ImageSource
from distill.data.layouts.layout_files import bad_list, read_json, read_lines, recognised_by, require_base
from distill.data.layouts.listed_images import ListedImages
from distill.data.layouts.listing import Listing

_PARTS = ("train", "test")


def _is_base(folder: Path) -> bool:
    return (folder / "images").is_dir() and all(_list_of(folder, part) for part in _PARTS)


recognises = recognised_by(_is_base)


def read(root: Path, source: ImageSource) -> Listing:
    """The images of both lists. Raises FolderError."""
    base = require_base(root, _is_base, "food101", "images/, meta/train.txt and meta/test.txt (or .json)")
    images = ListedImages("food101", root, base, source)
    for part in _PARTS:
        file = _list_of(base, part)
        assert file is not None  # `_is_base`
        for name in _names(root, file):
            images.add(f"{name.removesuffix('.jpg')}.jpg", (name.rpartition("/")[0],), part, folders=("images",))
    return images.finish()


def _list_of(base: Path, part: str) -> Path | None:
    files = (base / "meta" / f"{part}{suffix}" for suffix in (".txt", ".json"))
    return next((file for file in files if file.is_file()), None)


def _names(root: Path, file: Path) -> list[str]:
    """The names of a list, such as `apple_pie/1005649`."""
    if file.suffix == ".txt":
        names = read_lines(root, file)
    else:
        value = read_json(root, file)
        if not isinstance(value, dict) or not all(isinstance(names, list) for names in value.values()):
            raise bad_list(root, file, "must map each class to a list of images")
        names = [str(name) for names in value.values() for name in names]
    if wrong := next((name for name in names if "/" not in name), None):
        raise bad_list(root, file, f'has the entry "{wrong}", which is not `class/image`')
    return names
