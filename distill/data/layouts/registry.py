"""All layouts, in the order in which they are recognised. Imports no torch."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from distill.data.image_folders import FolderError
from distill.data.image_source import ImageSource
from distill.data.layouts import class_folders, part_folders
from distill.data.layouts.annotations import coco, coop, inaturalist
from distill.data.layouts.listing import Listing
from distill.data.layouts.published import cars, cub, flowers102, food101, imagenet, pets, sun397, tiered_imagenet


@dataclass(frozen=True)
class Layout:
    """A way to give images. `recognises(root)`: whether a folder has this layout; it reads names and headers only.

    `read(root, source)` lists the images; it raises FolderError.
    """

    name: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path, ImageSource], Listing]


LISTS: tuple[Layout, ...] = (
    Layout("coop", coop.recognises, coop.read),  # its file is put beside the files of a dataset
    Layout("cub", cub.recognises, cub.read),
    Layout("flowers102", flowers102.recognises, flowers102.read),
    Layout("food101", food101.recognises, food101.read),
    Layout("sun397", sun397.recognises, sun397.read),
    Layout("cars", cars.recognises, cars.read),
    Layout("pets", pets.recognises, pets.read),
    Layout("tiered_imagenet", tiered_imagenet.recognises, tiered_imagenet.read),
    Layout("imagenet", imagenet.recognises, imagenet.read),
    Layout("coco", coco.recognises, coco.read),
    Layout("inaturalist", inaturalist.recognises, inaturalist.read),
)
"""Layouts recognised by the files of a published dataset."""
FOLDERS: tuple[Layout, ...] = (
    Layout("part_folders", part_folders.recognises, part_folders.read),
    Layout("class_folders", class_folders.recognises, class_folders.read),  # the last: every folder may hold folders
)
LAYOUTS = LISTS + FOLDERS


def list_images(root: Path, source: ImageSource, *, needs_parts: bool) -> Listing:
    """The images below `root`, by the layout of `source`, or by the first that recognises the folder.

    `needs_parts`: the split is by parts, so part folders are read whatever lies beside them. Raises FolderError.
    """
    if source.layout != "auto":
        for layout in LAYOUTS:
            if source.layout == layout.name:
                return _read(layout, root, source)
        raise FolderError("unknown_layout", f'the folder has no layout "{source.layout}"', "/images/layout")
    recognised = [layout for layout in LISTS if _recognises(layout, root)]
    if not recognised and needs_parts and part_folders.has_part_folder(root):
        return part_folders.read(root, source)
    layout = next(layout for layout in (*recognised, *FOLDERS) if _recognises(layout, root))
    listing = _read(layout, root, source)
    if recognised:
        others = "".join(f', and not as "{other.name}"' for other in recognised[1:])
        listing.notes.insert(0, f'the images were read as the layout "{layout.name}"{others}')
    return listing


def _read(layout: Layout, root: Path, source: ImageSource) -> Listing:
    listing = layout.read(root, source)
    listing.has_other_images = layout in LISTS  # the parts of some published datasets hold a subset of their images
    return listing


def _recognises(layout: Layout, root: Path) -> bool:
    """Whether a folder has a layout; a folder that cannot be read is an error of the reader, which names it."""
    try:
        return layout.recognises(root)
    except (OSError, FolderError):
        return layout is FOLDERS[-1]
