"""Oxford Flowers-102: `imagelabels.mat`, `setid.mat` and `jpg/image_00001.jpg`. Imports no torch.

`imagelabels.mat` has numbers from 1 only. Their names are read from `cat_to_name.json` if it is there; else they are
the names that Oxford published.
"""

from pathlib import Path

from distill.data.image_source import ImageSource
from distill.data.layouts.layout_files import (
    bad_list,
    holds,
    read_json,
    read_matlab,
    recognised_by,
    require_base,
    values,
)
from distill.data.layouts.listed_images import ListedImages
from distill.data.layouts.listing import Listing
from distill.data.layouts.published.flower_names import FLOWER_NAMES

_LABELS, _SETS, _NAMES = "imagelabels.mat", "setid.mat", "cat_to_name.json"
_PARTS = {"trnid": "train", "valid": "val", "tstid": "test"}
_is_base = holds(_LABELS, "jpg")
recognises = recognised_by(_is_base)


def read(root: Path, source: ImageSource) -> Listing:
    """The images of `imagelabels.mat`; without `setid.mat` they have no part. Raises FolderError."""
    base = require_base(root, _is_base, "flowers102", f"{_LABELS} and jpg/")
    names = _names(root, base)
    numbers = [int(number) for number in values(root, base / _LABELS, read_matlab(root, base / _LABELS), "labels")]
    if unknown := set(numbers) - names.keys():
        raise bad_list(root, base / _LABELS, f"has the label {min(unknown)}, which has no name")
    parts = _parts(root, base)
    images = ListedImages("flowers102", root, base, source, label_noun="flower")
    for id, number in enumerate(numbers, start=1):
        images.add(f"image_{id:05d}.jpg", (names[number],), parts.get(id), folders=("jpg",))
    return images.finish()


def _names(root: Path, base: Path) -> dict[int, str]:
    """The name of each number."""
    file = base / _NAMES
    if not file.exists():
        return dict(enumerate(FLOWER_NAMES, start=1))
    found = read_json(root, file)
    if not isinstance(found, dict) or not all(key.isdecimal() for key in found):
        raise bad_list(root, file, "must map numbers from 1 to names")
    return {int(number): str(name) for number, name in found.items()}


def _parts(root: Path, base: Path) -> dict[int, str]:
    """The part of each image number."""
    file = base / _SETS
    if not file.exists():
        return {}
    sets = read_matlab(root, file)
    return {int(id): part for name, part in _PARTS.items() for id in values(root, file, sets, name)}
