"""All layouts, in the order in which they are recognised. Imports no torch."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from distill.data.image_folders import FolderError
from distill.data.image_source import ImageSource
from distill.data.layouts import class_folders, part_folders
from distill.data.layouts.listing import Listing


@dataclass(frozen=True)
class Layout:
    """A way to give images. `recognises(root)`: whether a folder has this layout; it reads names and headers only.

    `read(root, source)` lists the images; it raises FolderError.
    """

    name: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path, ImageSource], Listing]


LAYOUTS: tuple[Layout, ...] = (
    Layout("part_folders", part_folders.recognises, part_folders.read),
    Layout("class_folders", class_folders.recognises, class_folders.read),  # the last: every folder may hold folders
)


def list_images(root: Path, source: ImageSource) -> Listing:
    """The images below `root`, by the layout of `source`, or by the first that recognises the folder.

    Raises FolderError.
    """
    for layout in LAYOUTS:
        if source.layout == layout.name or (source.layout == "auto" and layout.recognises(root)):
            return layout.read(root, source)
    raise FolderError("unknown_layout", f'the folder has no layout "{source.layout}"', "/images/layout")
