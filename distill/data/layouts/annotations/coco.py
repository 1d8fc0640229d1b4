"""COCO: `annotations/instances_train2017.json` and the folders `train2017/` …; exports in its format. No torch.

Exports have `_annotations.coco.json` beside the images of each part (Roboflow). `file` of the source names another
file. An image can have several categories.
"""

from pathlib import Path

from distill.data.image_folders import class_folders
from distill.data.image_source import ImageSource
from distill.data.layouts.annotations import coco_format
from distill.data.layouts.layout_files import named_file, part_in_name, recognised_by, require_base
from distill.data.layouts.listed_images import ListedImages
from distill.data.layouts.listing import Listing

_EXPORT = "_annotations.coco.json"


def _files(folder: Path) -> list[Path]:
    """The annotation files of a dataset."""
    instances = sorted((folder / "annotations").glob("instances_*.json"))
    exported = [file for one in (folder, *class_folders(folder)) if (file := one / _EXPORT).is_file()]
    return instances or exported


recognises = recognised_by(lambda folder: bool(_files(folder)))


def read(root: Path, source: ImageSource) -> Listing:
    """The images of all annotation files, or of `file`; without a category they have no label. Raises FolderError."""
    if source.file:
        base, files = root, [named_file(root, source.file)]
    else:
        needs = f"annotations/instances_*.json or {_EXPORT}"
        base = require_base(root, lambda folder: bool(_files(folder)), "coco", needs)
        files = _files(base)
    images = ListedImages("coco", root, base, source, label_noun="category")
    for file in files:
        part = part_in_name(file.name if file.name != _EXPORT else file.parent.name)
        coco_format.add_file(images, root, file, part, _image_folders(base, file))
    return images.finish()


def _image_folders(base: Path, file: Path) -> list[str]:
    """Where the images of a file may lie, relative to the base: `train2017/` for `instances_train2017.json`."""
    name = file.stem.rpartition("_")[2]
    beside = file.parent.relative_to(base).as_posix()
    return list(dict.fromkeys((beside, name, f"images/{name}", "images", f"{beside}/images", "")))
