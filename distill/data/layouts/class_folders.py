"""One folder per label, with its images at any depth; or WebDataset shards (`.tar`) instead. Imports no torch."""

from pathlib import Path

from distill.data import image_folders, shards
from distill.data.image_folders import FolderError
from distill.data.image_source import ImageSource
from distill.data.layouts.listing import ListedImage, Listing
from limbeck.shared.images.kinds import IMAGE_SUFFIXES


def recognises(root: Path) -> bool:
    """Every folder may hold class folders."""
    return root.is_dir()


def read(root: Path, source: ImageSource) -> Listing:
    """The images of the class folders or shards in `root`. Raises FolderError."""
    listing = Listing("class_folders")
    list_below(listing, root, root, source, part=None)
    return listing


def list_below(listing: Listing, root: Path, below: Path, source: ImageSource, *, part: str | None) -> None:
    """Add the images of the shards in `below`, or of its class folders, to a listing of `root`. Raises FolderError."""
    if found_shards := shards.shards_below(below):
        _list_shards(listing, root, found_shards, part)
    else:
        _list_folders(listing, root, below, part)


def _list_folders(listing: Listing, root: Path, below: Path, part: str | None) -> None:
    folders = image_folders.class_folders(below)
    for folder in folders:
        found = image_folders.images_below(folder, root)
        if not found:
            detail = f'folder "{folder.relative_to(root)}" holds no image ({" ".join(IMAGE_SUFFIXES)})'
            raise FolderError("no_images", detail, "/path")
        listing.images += [ListedImage(path, (folder.name,), part) for path in found]
    if not folders:
        name = "the folder" if below == root else f'"{below.relative_to(root)}"'
        raise FolderError("no_images", f"{name} has no class folders, one per label, with images", "/path")


def _list_shards(listing: Listing, root: Path, found_shards: list[Path], part: str | None) -> None:
    listing.indices = True
    found = [sample for shard in found_shards for sample in shards.read_samples(shard, root)]
    if not found:
        raise FolderError("no_images", f"the shards hold no image ({' '.join(IMAGE_SUFFIXES)})", "/path")
    listing.images += [ListedImage(sample.path, (sample.label,), part) for sample in found]
