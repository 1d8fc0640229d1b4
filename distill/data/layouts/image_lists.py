"""Text files with one image path per line; the image's folder is its label. Imports no torch."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from distill.data.image_folders import FolderError
from distill.data.layouts.listing import ListedImage, Listing
from distill.data.splits import LABELLED_PARTS, ByImageLists
from limbeck.shared.images.file_names import name_as_text
from limbeck.shared.images.kinds import is_image_name


def read(root: Path, split: ByImageLists) -> Listing:
    """The images of the lists of a split. Raises FolderError."""
    listing = Listing("image_lists")
    listed_at: dict[str, str] = {}
    for part in LABELLED_PARTS:
        name: str | None = getattr(split, part)
        for number, path in _listed_images(root, name, f"/split/{part}") if name else ():
            place = f"{name} line {number}"
            if path in listed_at:
                raise FolderError("image_twice", f"{path} is in {listed_at[path]} and {place}", f"/split/{part}")
            listed_at[path] = place
            listing.images.append(ListedImage(path, (name_as_text(Path(path).parent.name),), part))
    return listing


def _listed_images(root: Path, name: str, pointer: str) -> Iterator[tuple[int, str]]:
    """Line number and path of each image that the text file `name` below `root` lists; blank lines are skipped.

    Raises FolderError missing_list, missing_image, no_images or outside_root; the message gives the line number.
    """
    listing = _below(root, name, pointer)
    if not listing.is_file():
        raise FolderError("missing_list", f'there is no file "{name}"', pointer)
    try:
        lines = listing.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise FolderError("missing_list", f'"{name}" is not UTF-8 text: {error}', pointer) from None
    for number, line in enumerate(lines, start=1):
        path = line.strip()
        if not path:
            continue
        place = f"{name} line {number}"
        if not is_image_name(path):
            raise FolderError("no_images", f'{place}: "{path}" does not end in an image suffix', pointer)
        if not _below(root, path, pointer).is_file():
            raise FolderError("missing_image", f'{place}: there is no file "{path}"', pointer)
        yield number, str(PurePosixPath(path))


def _below(root: Path, name: str, pointer: str) -> Path:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not (root / path).resolve().is_relative_to(root):
        raise FolderError("outside_root", f'"{name}" lies outside the folder', pointer)
    return root / path
