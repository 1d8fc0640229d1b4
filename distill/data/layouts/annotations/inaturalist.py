"""iNaturalist: `train2019.json` and `val2019.json`, or `train.json` or `train_mini.json`, and `val.json`. No torch.

A category is matched by its name, its common name or its folder. `categories.json` beside the files, as for 2018, has
the names that the others hide.
"""

from pathlib import Path

from distill.data.image_folders import FolderError
from distill.data.image_source import ImageSource
from distill.data.layouts.annotations import coco_format
from distill.data.layouts.layout_files import bad_list, named_file, part_in_name, read_json, recognised_by, require_base
from distill.data.layouts.listed_images import ListedImages
from distill.data.layouts.listing import Listing

_PATTERNS = ("train*.json", "val*.json")


def _files(folder: Path) -> list[Path]:
    found = [file for pattern in _PATTERNS for file in sorted(folder.glob(pattern))]
    return [file for file in found if coco_format.is_coco_format(file)]


def _is_base(folder: Path) -> bool:
    return any(part_in_name(file.name) == "train" for file in _files(folder))


recognises = recognised_by(_is_base)


def read(root: Path, source: ImageSource) -> Listing:
    """The images of the training and validation files, or of `file`. Raises FolderError."""
    if source.file:
        base, files = root, [named_file(root, source.file)]
    else:
        base = require_base(root, _is_base, "inaturalist", "train*.json in the format of COCO")
        files = _files(base)
        training = [file.name for file in files if part_in_name(file.name) == "train"]
        if len(training) > 1:
            detail = (
                f'there are several training files ({", ".join(training)}): keep one of them, or name one in "file"'
            )
            raise FolderError("ambiguous", detail, "/images/file")
    images = ListedImages("inaturalist", root, base, source, label_noun="category")
    names = _category_names(root, base)
    for file in files:
        coco_format.add_file(images, root, file, part_in_name(file.name), ("", "images", file.stem), names)
    return images.finish()


def _category_names(root: Path, base: Path) -> dict[int, str]:
    file = base / "categories.json"
    if not file.is_file():
        return {}
    content = read_json(root, file)
    try:
        return {int(one["id"]): str(one["name"]) for one in content}
    except (KeyError, TypeError, ValueError):
        raise bad_list(root, file, "must be a list of categories with `id` and `name`") from None
