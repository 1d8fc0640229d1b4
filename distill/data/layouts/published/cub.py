"""CUB-200-2011, and NABirds, which has the same files. Imports no torch.

`images.txt` (id, path), `image_class_labels.txt` (id, class id), `classes.txt` (class id, name), `train_test_split.txt`
(id, 1 for training) and `images/`.
"""

from pathlib import Path

from distill.data.image_source import ImageSource
from distill.data.layouts.layout_files import bad_list, holds, read_pairs, recognised_by, require_base
from distill.data.layouts.listed_images import ListedImages
from distill.data.layouts.listing import Listing

_LABELS = "image_class_labels.txt"
_is_base = holds("images.txt", _LABELS, "classes.txt")
recognises = recognised_by(_is_base)


def read(root: Path, source: ImageSource) -> Listing:
    """The images of `images.txt`; without `train_test_split.txt` they have no part. Raises FolderError."""
    base = require_base(root, _is_base, "cub", f"images.txt, {_LABELS} and classes.txt")
    classes = dict(read_pairs(root, base / "classes.txt"))
    label_ids = dict(read_pairs(root, base / _LABELS))
    split = base / "train_test_split.txt"
    is_train = dict(read_pairs(root, split)) if split.exists() else {}
    images = ListedImages("cub", root, base, source)
    for id, path in read_pairs(root, base / "images.txt"):
        if label_ids.get(id) not in classes:
            raise bad_list(root, base / _LABELS, f"has no class of classes.txt for image {id}")
        if is_train and is_train.get(id) not in ("0", "1"):
            raise bad_list(root, split, f"has no 0 or 1 for image {id}")
        part = {"1": "train", "0": "test", "": None}[is_train.get(id, "")]
        images.add(path, (classes[label_ids[id]],), part, folders=("images", ""))
    return images.finish()
