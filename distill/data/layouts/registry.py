"""All layouts, in the order in which they are recognised. Imports no torch."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from distill.data.image_folders import FolderError
from distill.data.image_source import ImageSource
from distill.data.layouts import class_folders, foreign_files, part_folders
from distill.data.layouts.huggingface import layout as huggingface
from distill.data.layouts.listing import Listing
from distill.data.layouts.tables import layout as tables
from distill.data.layouts.tables.files import has_table


@dataclass(frozen=True)
class Layout:
    """A way to give images. `recognises(root)`: whether a folder has this layout; it reads names and headers only.

    `read(root, source)` lists the images; it raises FolderError.
    """

    name: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path, ImageSource], Listing]


LAYOUTS: tuple[Layout, ...] = (
    Layout("huggingface", huggingface.recognises, huggingface.read),
    Layout("table", tables.recognises, tables.read),
    Layout("part_folders", part_folders.recognises, part_folders.read),
    Layout("class_folders", class_folders.recognises, class_folders.read),  # the last: every folder may hold folders
)


def layout_of(root: Path, source: ImageSource) -> Layout:
    """The layout that the source names, or the first that recognises the folder. Raises FolderError unknown_layout.

    A source that names a file gives a table or a data set.
    """
    for layout in LAYOUTS:
        if source.layout == layout.name:
            return layout
    if source.layout != "auto":
        raise FolderError("unknown_layout", f'the folder has no layout "{source.layout}"', "/images/layout")
    if source.file is not None:
        name = "huggingface" if huggingface.is_data(root, source.file) else "table"
        return next(layout for layout in LAYOUTS if layout.name == name)
    return next(layout for layout in LAYOUTS if layout.recognises(root))


def list_images(root: Path, source: ImageSource, layout: Layout | None = None) -> Listing:
    """The images below `root`, by a layout (`layout_of` if it is not given). Raises FolderError."""
    layout = layout or layout_of(root, source)
    try:
        listing = layout.read(root, source)
    except FolderError as error:
        if error.code == "no_images" and (detail := foreign_files.described(root)):
            raise FolderError("unknown_layout", detail, "/path") from None
        raise
    if source.layout == "auto" and layout.name in ("class_folders", "part_folders") and has_table(root):
        listing.notes.append('the table beside the class folders is not read: images.layout "table" reads it')
    return listing
