"""A folder for each part, such as `train/`, `val/` and `test/`, with class folders or shards. Imports no torch."""

from pathlib import Path

from distill.data import image_folders
from distill.data.files.exclusion import no_exclusion
from distill.data.image_folders import FolderError
from distill.data.image_source import ImageSource
from distill.data.layouts.class_folders import list_below
from distill.data.layouts.listing import Listing
from distill.data.splits import MEASURED_NAMES, TRAIN_NAMES


def recognises(root: Path) -> bool:
    """Whether the folder has a training folder and one to measure on, and no folder with images beside them."""
    folders = image_folders.class_folders(root)
    found = {part_of(folder) for folder in folders} - {""}
    return "train" in found and len(found) > 1 and not any(_holds_images(folder, root) for folder in folders)


def has_part_folder(root: Path) -> bool:
    """Whether a folder is named after a part."""
    return any(part_of(folder) for folder in image_folders.class_folders(root))


def read(root: Path, source: ImageSource) -> Listing:
    """The images of all part folders; other folders are reported. Raises FolderError."""
    return read_below(root, root, source, layout="part_folders")


def read_below(root: Path, base: Path, source: ImageSource, *, layout: str) -> Listing:
    """The images of the part folders of `base`, a folder in `root`; other folders are reported. Raises FolderError."""
    listing = Listing(layout)
    exclusion = listing.exclusion(source)
    seen: dict[str, Path] = {}
    entries = image_folders.entries_of(base, root, exclusion)
    for folder in entries.withheld:
        exclusion.leaves_out(folder.relative_to(root).as_posix(), is_folder=True)
    for folder in entries.folders:
        part = part_of(folder)
        if not part:
            exclusion.skip("folder beside the part folders", f"{folder.name}/")
            continue
        if part in seen:
            detail = (
                f'"{seen[part].name}" and "{folder.name}" are both for {part}: leave out one by a pattern in exclude'
            )
            raise FolderError("ambiguous", detail, "/images/exclude")
        seen[part] = folder
        list_below(listing, root, image_folders.resolve_folder(folder, root), source, part=part)
    if not listing.images:
        raise FolderError("no_such_folder", "there is no train/ with class folders", "/path")
    return listing


def part_of(folder: Path) -> str:
    """The part that a folder is named after, in lower case; empty for another folder."""
    name = folder.name.lower()
    return "train" if name in TRAIN_NAMES else name if name in MEASURED_NAMES else ""


def _holds_images(folder: Path, root: Path) -> bool:
    """Whether a folder beside the part folders holds images or shards."""
    if part_of(folder):
        return False
    found = image_folders.files_below(folder, root, no_exclusion())
    return bool(found.images or found.shards)
