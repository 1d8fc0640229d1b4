"""ImageNet and its relatives: folders named by WordNet ids, and a file with their words. Imports no torch.

`train/<id>/`, and `val/<id>/` or the flat `val/` of the archive, whose labels `flat_validation` reads; ImageNet-A, -R
and -Sketch (`<id>/` without parts); ImageNetV2 (folders `0` to `999`, in the order of the ids); Tiny ImageNet; the
folders `ILSVRC/Data/CLS-LOC/` of Kaggle. The words are those of `wordnet.MAPPING_FILES`; without a file, the labels or
`folder_map` must have the ids.
"""

from pathlib import Path

from distill.data.image_folders import FolderError, class_folders, images_below
from distill.data.image_source import ImageSource
from distill.data.layouts.class_folders import list_below
from distill.data.layouts.layout_files import bad_list, find_bases, require_base
from distill.data.layouts.listing import ListedImage, Listing
from distill.data.layouts.part_folders import part_of
from distill.data.layouts.published import flat_validation, wordnet
from distill.data.layouts.tables.files import has_image

_KAGGLE = "ILSVRC/Data/CLS-LOC"
_NUM_CLASSES = 1000


def is_base(folder: Path) -> bool:
    """Whether all class folders of a folder, or of its training folder, are named by WordNet ids."""
    return folder.is_dir() and any(_has_ids_only(one) for one in (folder, *_training_folders(folder)))


def recognises(root: Path) -> bool:
    """Whether the folder, or one that an archive puts into it, has folders named by WordNet ids or `0` to `999`.

    Such a folder beside others with images can be one class of several.
    """
    if _is_base_or_v2(root / _KAGGLE):
        return True
    bases = find_bases(root, _is_base_or_v2)
    return len(bases) == 1 and not any(_has_image_beside(folder, root) for folder in (bases[0], *bases[0].parents))


def read(root: Path, source: ImageSource) -> Listing:
    """The images of all parts, with the words of their ids as other names. Raises FolderError."""
    needs = "folders named by WordNet ids, such as train/n01440764/,"
    if is_base(root / _KAGGLE):
        return read_below(root, root / _KAGGLE, source, layout="imagenet")
    base = require_base(root, lambda folder: is_base(folder) or _has_numbers_only(folder), "imagenet", needs)
    return read_below(root, base, source, layout="imagenet")


def read_below(root: Path, base: Path, source: ImageSource, *, layout: str) -> Listing:
    """The listing of the folder `base` of a relative of ImageNet. Raises FolderError."""
    listing = Listing(layout)
    parts = [folder for folder in class_folders(base) if part_of(folder)]
    mapping = wordnet.find_mapping(root, base)
    words = wordnet.read_mapping(root, mapping) if mapping else {}
    for folder in parts:
        if _has_ids_only(folder):
            list_below(listing, root, folder, source, part=part_of(folder))
        elif part_of(folder) == "test":
            for path in images_below(folder, root):
                listing.skipped.add("image without a label", path)
        else:
            _list_flat(listing, root, base, folder, words)
    if not parts:
        list_below(listing, root, base, source, part=None)
    if _has_numbers_only(base):
        _number(listing, root, mapping, words)
    listing.aliases = wordnet.names_of(words, set(listing.images.label_values()))
    if mapping is None:
        listing.hint = f"for the words of WordNet ids, put one of {', '.join(wordnet.MAPPING_FILES)} into the folder"
    return listing


def _list_flat(listing: Listing, root: Path, base: Path, folder: Path, words: dict[str, str]) -> None:
    """Add the images of a part folder without class folders."""
    found = sorted(images_below(folder, root))
    labels = flat_validation.read_labels(root, base, folder, [Path(path).name for path in found], sorted(words))
    for path in found:
        if wnid := labels.get(Path(path).stem):
            listing.images.append(ListedImage(path, (wnid,), part_of(folder)))
        else:
            listing.skipped.add("image without a label", path)


def _number(listing: Listing, root: Path, mapping: Path | None, words: dict[str, str]) -> None:
    """Replace class numbers from 0 by WordNet ids: ImageNet numbers its classes in the order of their ids."""
    if mapping is None or len(words) != _NUM_CLASSES:
        detail = f"the folders are class numbers of ImageNet: put imagenet_class_index.json with {_NUM_CLASSES} classes"
        raise FolderError("missing_list", f"{detail} into the folder", "/images/layout")
    wnids = sorted(words)
    numbers = listing.images.label_values()
    if unknown := [number for number in numbers if int(number) >= _NUM_CLASSES]:
        raise bad_list(root, mapping, f"has no class {min(unknown)}")
    listing.images = listing.images.relabelled(lambda labels: (wnids[int(labels[0])],))


def _training_folders(folder: Path) -> list[Path]:
    return [one for one in class_folders(folder) if part_of(one) == "train"]


def _has_image_beside(folder: Path, root: Path) -> bool:
    """Whether a folder beside `folder`, which lies in `root`, has an image."""
    if folder == root or not folder.is_relative_to(root):
        return False
    return any(has_image(one) for one in class_folders(folder.parent) if one != folder)


def _has_ids_only(folder: Path) -> bool:
    names = _folder_names(folder)
    return bool(names) and all(map(wordnet.is_wnid, names))


def _has_numbers_only(folder: Path) -> bool:
    names = _folder_names(folder)
    return bool(names) and all(name.isascii() and name.isdecimal() for name in names)


def _folder_names(folder: Path) -> list[str]:
    return [one.name for one in class_folders(folder)] if folder.is_dir() else []


def _is_base_or_v2(folder: Path) -> bool:
    is_imagenet_v2 = "imagenet" in folder.name.lower() and len(_folder_names(folder)) == _NUM_CLASSES
    return is_base(folder) or (is_imagenet_v2 and _has_numbers_only(folder))
