"""tiered-ImageNet: parts with folders named by WordNet ids, and `label2text.txt` (`n02119789 1 kit_fox`). No torch.

The parts hold different classes. The pickled and NumPy releases are refused.
"""

from pathlib import Path

from distill.data.image_folders import FolderError
from distill.data.image_source import ImageSource
from distill.data.layouts.layout_files import find_bases, require_base
from distill.data.layouts.listing import Listing
from distill.data.layouts.published import imagenet

_PACKED = ("train_images_png.pkl", "train_images.npz", "train_labels.pkl")


def _is_base(folder: Path) -> bool:
    return _packed_in(folder) is not None or ((folder / "label2text.txt").is_file() and imagenet.is_base(folder))


def recognises(root: Path) -> bool:
    """Whether there are folders with WordNet ids beside `label2text.txt`, or a pickled release."""
    return len(find_bases(root, _is_base)) == 1


def read(root: Path, source: ImageSource) -> Listing:
    """The images of all parts. Raises FolderError, also for a pickled release."""
    needs = "train/, val/ and test/ with folders named by WordNet ids"
    base = require_base(root, lambda one: _is_base(one) or imagenet.is_base(one), "tiered_imagenet", needs)
    if packed := _packed_in(base):
        detail = f'"{packed.name}" is of the packed release: give its images as files in train/, val/ and test/'
        raise FolderError("packed_images", f"{detail}, a folder for each WordNet id", "/path")
    return imagenet.read_below(root, base, source, layout="tiered_imagenet")


def _packed_in(folder: Path) -> Path | None:
    return next((folder / name for name in _PACKED if (folder / name).is_file()), None)
