"""One folder per label, with its images at any depth; or WebDataset shards (`.tar`) instead. Imports no torch.

Shards may lie in subfolders. Class folders with images and shards in one folder are refused, because one of them would
be ignored.
"""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from distill.data.image_folders import FolderEntries, FolderError, entries_of, files_below
from distill.data.image_source import ImageSource
from distill.data.layouts.listing import EmptyFolder, ListedImage, Listing, WithheldFolder
from distill.data.layouts.webdataset.samples import read_samples
from distill.data.splits import MEASURED_NAMES, TRAIN_NAMES
from limbeck.shared.images.file_names import is_utf8, name_as_text
from limbeck.shared.images.kinds import IMAGE_SUFFIXES
from limbeck.shared.text import counted

_PARTS = re.compile(
    "(?<![a-z])(" + "|".join(sorted((*TRAIN_NAMES, *MEASURED_NAMES), key=len, reverse=True)) + ")(?![a-z])"
)


def recognises(root: Path) -> bool:
    """Every folder may hold class folders."""
    return root.is_dir()


def read(root: Path, source: ImageSource) -> Listing:
    """The images of the class folders or shards in `root`. Raises FolderError."""
    listing = Listing("class_folders")
    list_below(listing, root, root, source, part=None)
    listing.hint = _hint(listing)
    return listing


def list_below(listing: Listing, root: Path, below: Path, source: ImageSource, *, part: str | None) -> None:
    """Add the images of the shards in `below`, or of its class folders, to a listing of `root`. Raises FolderError."""
    exclusion = listing.exclusion(source)
    entries = entries_of(below, root, exclusion)
    images: dict[Path, list[str]] = {}
    shards = list(entries.shards)
    empty: list[Path] = []
    for folder in entries.folders:
        found = files_below(folder, root, exclusion)
        if found.images:
            images[folder] = found.images
        elif found.shards:
            shards += sorted(found.shards)
        else:
            empty.append(folder)
    if shards and images:
        raise _mixed(shards[0], next(iter(images)), root)
    if entries.packed and not images:
        raise FolderError("packed_shard", f'"{min(entries.packed)}" is compressed: unpack it to a .tar', "/path")
    listing.empty_folders += [EmptyFolder(label_of(listing, folder), _name(folder, root)) for folder in empty]
    listing.withheld += [WithheldFolder(label_of(listing, folder), folder, part) for folder in entries.withheld]
    _refuse_equal_names(listing, list(images), root)
    if shards:
        _list_shards(listing, root, shards, source, part)
    elif images:
        for folder, paths in images.items():
            add_folder(listing, folder, paths, root, part)
    else:
        raise FolderError("no_images", _nothing_found(entries, below, root), "/path")


def _refuse_equal_names(listing: Listing, folders: Sequence[Path], root: Path) -> None:
    """Refuse a folder whose name is not UTF-8 and reads like the name of another folder."""
    names: dict[str, Path] = {}
    for folder in folders:
        first = names.setdefault(label_of(listing, folder), folder)
        if first != folder:
            detail = f'the folders "{_name(first, root)}" and "{_name(folder, root)}" read the same: rename one'
            raise FolderError("merged_labels", detail, "/folder_map")


def add_folder(listing: Listing, folder: Path, paths: Sequence[str], root: Path, part: str | None) -> None:
    """Add the images of a class folder; images in its subfolders are noted."""
    label, depth = label_of(listing, folder), _name(folder, root).count("/") + 1
    images = listing.images
    images.extend_columns(
        paths, [images.code_of_labels((label,))] * len(paths), [images.code_of_part(part)] * len(paths)
    )
    if nested := [path for path in paths if path.count("/") > depth]:
        listing.notes.append(
            f'{len(nested)} images of "{_name(folder, root)}" lie in subfolders, such as {min(nested)}: they count'
        )


def label_of(listing: Listing, folder: Path) -> str:
    """The name of a class folder as text; a name that is not UTF-8 is noted."""
    label = name_as_text(folder.name)
    if not is_utf8(folder.name):
        note = f'the folder name {folder.name} is not UTF-8 and was read as "{label}"'
        if note not in listing.notes:
            listing.notes.append(note)
    return label


def part_of_shard(path: str) -> str | None:
    """The part that a shard is named after, such as `train` for `birds-train-000.tar`, or its folders; else None."""
    for step in reversed(PurePosixPath(path.lower()).parts):
        found = {"train" if name in TRAIN_NAMES else name for name in _PARTS.findall(step)}
        if len(found) == 1:
            return found.pop()
    return None


def _list_shards(listing: Listing, root: Path, shards: Sequence[str], source: ImageSource, part: str | None) -> None:
    listing.indices, listing.label_noun = True, "label"
    exclusion = listing.exclusion(source)
    num_before, dotted_key = len(listing.images), ""
    for shard in shards:
        found = read_samples(root / shard, root, exclusion)
        dotted_key = dotted_key or found.dotted_key
        part_of_samples = part if part is not None else part_of_shard(shard)
        listing.images += [
            ListedImage(sample.path, sample.labels, part_of_samples, sample.caption) for sample in found.samples
        ]
    if len(listing.images) == num_before:
        raise FolderError("no_images", f"the shards hold no image ({' '.join(IMAGE_SUFFIXES)})", "/path")
    if dotted_key:
        listing.notes.append(f'keys of shards hold dots, such as "{dotted_key}": the last dot begins the suffix')


def _hint(listing: Listing) -> str:
    """What else to do if folders match no label: they can be parts, or hold the class folders."""
    folders = {image.path.split("/", 1)[0] for image in listing.images}
    if parts := sorted(folder for folder in folders if folder.lower() in (*TRAIN_NAMES, *MEASURED_NAMES)):
        return f'images.layout "part_folders" reads {", ".join(f"{part}/" for part in parts)} as parts of the images'
    first = min(folders, default="")
    is_around = len(folders) == 1 and all(image.path.count("/") > 1 for image in listing.images)
    return f'if the folders in {first}/ are the class folders, give the folder "{first}" itself' if is_around else ""


def _mixed(shard: str, folder: Path, root: Path) -> FolderError:
    detail = (
        f'there are shards ("{shard}") and class folders with images ("{_name(folder, root)}"): '
        'leave out the shards by "*.tar" in exclude, or the folders by "*/"'
    )
    return FolderError("mixed_layout", detail, "/images/exclude")


def _nothing_found(entries: FolderEntries, below: Path, root: Path) -> str:
    name = "the folder" if below == root else f'"{_name(below, root)}"'
    detail = f"{name} has no class folders, one per label, with images ({' '.join(IMAGE_SUFFIXES)})"
    if entries.num_images:
        detail += (
            f"; {counted(entries.num_images, 'image lies', 'images lie')} outside of folders: "
            "move each into a folder named by its label"
        )
        detail += "" if below == root else f', or leave out "{_name(below, root)}/" in exclude'
    return detail


def _name(folder: Path, root: Path) -> str:
    return folder.relative_to(root).as_posix()
