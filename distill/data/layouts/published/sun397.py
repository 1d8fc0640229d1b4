"""SUN397: `ClassName.txt` with classes such as `/b/bakery/shop`, whose folders are nested. Imports no torch.

The partitions (`Training_01.txt`, `Testing_01.txt`) hold 50 images of each class; the other images have no part. `file`
of the source chooses another partition by its training list, such as `Training_03.txt`.
"""

from pathlib import Path

from distill.data.image_folders import FolderError, images_below
from distill.data.image_source import ImageSource
from distill.data.layouts.aliases import unshared
from distill.data.layouts.layout_files import bad_list, holds, read_lines, recognised_by, require_base
from distill.data.layouts.listing import ListedImage, Listing

_is_base = holds("ClassName.txt")
_FIRST_PARTITION = "Training_01.txt"


def recognises(root: Path) -> bool:
    """Whether there is a ClassName.txt whose first class has a folder."""
    return recognised_by(_is_base)(root) and _first_folder(root).is_dir()


def read(root: Path, source: ImageSource) -> Listing:
    """The images of all classes; those of a class lie directly in its folder. Raises FolderError."""
    base = require_base(root, _is_base, "sun397", "ClassName.txt and the folders a/, b/, …")
    folder, parts = _image_folder(base), _parts(root, base, source.file)
    listing = Listing("sun397", label_noun="class")
    empty: list[str] = []
    names: dict[str, tuple[str, ...]] = {}
    for words in _classes(root, base):
        found = _images_in(root, folder.joinpath(*words))
        label = "/".join(words[1:])
        listing.images += [ListedImage(path, (label,), parts.get(_below(root / path, folder))) for path in found]
        # Names are written in both orders: `bakery shop`, `indoor apse`.
        names[label] = (" ".join(words[1:]), " ".join(words[:0:-1]))
        empty += [] if found else [label]
    if empty and source.missing == "refuse":
        detail = f'{len(empty)} classes of ClassName.txt have no images, such as "{empty[0]}"; "missing": "skip"'
        raise FolderError("missing_image", f"{detail} uses the others", "/images/missing")
    for label in empty:
        listing.skipped.add("class without images", label)
    listing.aliases = unshared(names)
    return listing


def _images_in(root: Path, folder: Path) -> list[str]:
    """The images directly in a folder, sorted."""
    found = images_below(folder, root) if folder.is_dir() else []
    return sorted(path for path in found if (root / path).parent == folder)


def _first_folder(root: Path) -> Path:
    base = require_base(root, _is_base, "sun397", "ClassName.txt")
    classes = _classes(root, base)
    return _image_folder(base).joinpath(*classes[0]) if classes else root / "ClassName.txt"


def _classes(root: Path, base: Path) -> list[list[str]]:
    """The words of each class: its letter, its name, and `indoor` or the like."""
    file = base / "ClassName.txt"
    classes = [line.strip("/").split("/") for line in read_lines(root, file)]
    if wrong := next((words for words in classes if len(words) < 2 or ".." in words), None):
        raise bad_list(root, file, f'has the class "{"/".join(wrong)}", which is not `/letter/class`')
    return classes


def _image_folder(base: Path) -> Path:
    """The folder with the letters; the partitions can lie beside it."""
    return base / "SUN397" if (base / "SUN397").is_dir() else base


def _parts(root: Path, base: Path, training: str | None) -> dict[str, str]:
    """The part of each image that the partition lists."""
    first = base / (training or _FIRST_PARTITION)
    if not training and not first.exists():
        return {}
    second = base / first.name.replace("Training", "Testing")
    return {
        line.lstrip("/"): part for file, part in ((first, "train"), (second, "test")) for line in read_lines(root, file)
    }


def _below(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()
