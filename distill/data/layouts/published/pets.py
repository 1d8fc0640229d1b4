"""Oxford-IIIT Pet: `images/Abyssinian_1.jpg`; `annotations/trainval.txt` and `test.txt`, else `list.txt`. No torch."""

from pathlib import Path

from distill.data.files.regular_files import open_regular
from distill.data.image_source import ImageSource
from distill.data.layouts.layout_files import bad_list, read_lines, recognised_by, require_base
from distill.data.layouts.listed_images import ListedImages
from distill.data.layouts.listing import Listing

_PARTS = {"trainval.txt": "train", "test.txt": "test"}
_ALL = "list.txt"


def _is_base(folder: Path) -> bool:
    lists = folder / "annotations"
    return (folder / "images").is_dir() and (all((lists / name).is_file() for name in _PARTS) or _is_pets_list(lists))


recognises = recognised_by(_is_base)


def read(root: Path, source: ImageSource) -> Listing:
    """The images of the lists; with `list.txt` alone they have no part. Raises FolderError."""
    base = require_base(root, _is_base, "pets", "images/, annotations/trainval.txt and annotations/test.txt")
    lists: dict[str, str | None] = {**_PARTS} if (base / "annotations/trainval.txt").is_file() else {_ALL: None}
    images = ListedImages("pets", root, base, source, label_noun="breed")
    for name, part in lists.items():
        file = base / "annotations" / name
        for line in read_lines(root, file):
            if line.startswith("#"):
                continue
            image, _, numbers = line.partition(" ")
            breed, _, number = image.rpartition("_")
            if not breed or not number.isdecimal() or len(numbers.split()) != 3:
                raise bad_list(root, file, f'has the line "{line}", which is not `breed_number class species breed`')
            images.add(f"{image}.jpg", (breed,), part, folders=("images",))
    return images.finish()


def _is_pets_list(lists: Path) -> bool:
    """Whether there is a list.txt with the header of Oxford-IIIT Pet."""
    try:
        with open_regular(lists / _ALL) as file:
            return file.readline().startswith(b"#Image CLASS-ID SPECIES")
    except OSError:
        return False
