"""All layouts, in the order in which they are recognised. Imports no torch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from distill.data.image_folders import FolderError
from distill.data.image_folders import class_folders as class_folders_of
from distill.data.image_source import ImageSource
from distill.data.layouts import class_folders, foreign_files, part_folders
from distill.data.layouts.annotations import coco, coop, inaturalist
from distill.data.layouts.huggingface import layout as huggingface
from distill.data.layouts.listing import Listing
from distill.data.layouts.published import cars, cub, flowers102, food101, imagenet, pets, sun397, tiered_imagenet
from distill.data.layouts.tables import layout as tables
from distill.data.layouts.tables.files import has_image, has_table


@dataclass(frozen=True)
class Layout:
    """A way to give images. `recognises(root)`: whether a folder has this layout; it reads names and headers only.

    `read(root, source)` lists the images; it raises FolderError. `suffix`: of the file that `source` may name.
    `settings`: those of ImageSource that only some layouts read, as far as this one does.
    """

    name: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path, ImageSource], Listing]
    suffix: str | None = None
    settings: tuple[str, ...] = ()


_SETTINGS = ("file", "columns", "image_folder", "label_separator")
"""Settings of ImageSource that only some layouts read."""
LISTS: tuple[Layout, ...] = (
    Layout("coop", coop.recognises, coop.read, ".json", ("file",)),  # its file is put beside the files of a dataset
    Layout("cub", cub.recognises, cub.read),
    Layout("flowers102", flowers102.recognises, flowers102.read),
    Layout("food101", food101.recognises, food101.read),
    Layout("sun397", sun397.recognises, sun397.read, ".txt", ("file",)),
    Layout("cars", cars.recognises, cars.read),
    Layout("pets", pets.recognises, pets.read),
    Layout("tiered_imagenet", tiered_imagenet.recognises, tiered_imagenet.read),
    Layout("imagenet", imagenet.recognises, imagenet.read),
    Layout("coco", coco.recognises, coco.read, ".json", ("file",)),
    Layout("inaturalist", inaturalist.recognises, inaturalist.read, ".json", ("file",)),
)
"""Layouts recognised by the files of a published dataset."""
TABLES: tuple[Layout, ...] = (
    Layout("huggingface", huggingface.recognises, huggingface.read, None, ("file", "columns", "label_separator")),
    Layout("table", tables.recognises, tables.read, None, _SETTINGS),
)
FOLDERS: tuple[Layout, ...] = (
    Layout("part_folders", part_folders.recognises, part_folders.read),
    Layout("class_folders", class_folders.recognises, class_folders.read),  # the last: every folder may hold folders
)
LAYOUTS = LISTS + TABLES + FOLDERS


def list_images(root: Path, source: ImageSource, *, needs_parts: bool) -> Listing:
    """The images below `root`, by the layout of `source`, or by the first that recognises the folder.

    `needs_parts`: the split is by parts, so part folders are read whatever lies beside them. Raises FolderError.
    """
    recognised = [layout for layout in LISTS if _recognises(layout, root)] if source.layout == "auto" else []
    layout = _layout_of(root, source, recognised, needs_parts=needs_parts)
    _refuse_unread_settings(layout, source)
    try:
        listing = layout.read(root, source)
    except FolderError as error:
        if error.code == "no_images" and (detail := foreign_files.described(root)):
            raise FolderError("unknown_layout", detail, "/path") from None
        if layout in recognised:
            raise FolderError(error.code, f"{error.detail}; {_otherwise(layout)}", error.pointer) from None
        raise
    listing.has_other_images = layout in LISTS  # the parts of some published datasets hold a subset of their images
    if layout in recognised:
        others = "".join(f', and not as "{other.name}"' for other in recognised if other is not layout)
        listing.notes.insert(0, f'the images were read as the layout "{layout.name}"{others}')
        _report_beside(listing, root, source)
        listing.hint = "; ".join(filter(None, (listing.hint, _otherwise(layout))))
    elif source.layout == "auto" and layout in FOLDERS and has_table(root):
        listing.notes.append('the table beside the class folders is not read: images.layout "table" reads it')
    return listing


def reads_setting(layout: str, setting: str) -> bool:
    """Whether the layout of this name reads a setting that only some layouts read."""
    return any(setting in one.settings for one in LAYOUTS if one.name == layout)


def _refuse_unread_settings(layout: Layout, source: ImageSource) -> None:
    for name in _SETTINGS:
        if name not in layout.settings and getattr(source, name) != ImageSource.model_fields[name].default:
            detail = f'images.{name} has no effect on the layout "{layout.name}": remove it, or give images.layout'
            raise FolderError("unread_setting", detail, f"/images/{name}")


def _report_beside(listing: Listing, root: Path, source: ImageSource) -> None:
    """Report the folders with images of which a recognised layout uses none, such as another dataset in `root`."""
    exclusion = listing.exclusion(source)
    named = (path for paths in listing.skipped.examples.values() for path in paths)
    known = {path.split("/", 1)[0] for path in (*named, *(image.path for image in listing.images))}
    for folder in class_folders_of(root):
        if folder.name not in known and not exclusion.leaves_out(folder.name, is_folder=True) and has_image(folder):
            exclusion.skip("folder with images that do not belong to the layout", f"{folder.name}/")


def _otherwise(layout: Layout) -> str:
    """What to do if a folder was recognised as something that it is not."""
    return f'the folder was read as the layout "{layout.name}": images.layout chooses another, such as "class_folders"'


def _layout_of(root: Path, source: ImageSource, recognised: Sequence[Layout], *, needs_parts: bool) -> Layout:
    """The layout that the source names, or one for its file, or the first that recognises the folder."""
    if source.layout != "auto":
        return _named(source.layout)
    if source.file is not None:
        for layout in recognised:
            if layout.suffix is not None and source.file.endswith(layout.suffix):
                return layout
        return _named("huggingface" if huggingface.is_data(root, source.file) else "table")
    layout = next(layout for layout in (*recognised, *TABLES, *FOLDERS) if _recognises(layout, root))
    is_folders = layout.name == "class_folders"
    return _named("part_folders") if is_folders and needs_parts and part_folders.has_part_folder(root) else layout


def _named(name: str) -> Layout:
    for layout in LAYOUTS:
        if layout.name == name:
            return layout
    raise FolderError("unknown_layout", f'the folder has no layout "{name}"', "/images/layout")


def _recognises(layout: Layout, root: Path) -> bool:
    """Whether a folder has a layout; a folder that cannot be read is an error of the reader, which names it."""
    try:
        return layout.recognises(root)
    except (OSError, FolderError):
        return layout is FOLDERS[-1]
