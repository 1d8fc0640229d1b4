"""List image files below a folder, without following a link out of it, and match folders to labels. Imports no torch.

Images are files ending in .jpg .jpeg .png .webp .bmp, in any case. Names that start with a dot are ignored. A link may
point to a file or folder below the same root; a link that leaves the root is an error and is not skipped. Folders,
listed names and the labels of shard samples are matched to a vocabulary by the same rules.
"""

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from distill.data.splits import ByList
from limbeck.shared.images.kinds import IMAGE_SUFFIXES
from limbeck.shared.label_matching import dataset_form, loose_form


class FolderError(ValueError):
    """A folder that cannot be used as a dataset. `code` is stable; `pointer`: JSON pointer to the input at fault."""

    def __init__(self, code: str, detail: str, pointer: str) -> None:
        super().__init__(detail)
        self.code, self.detail, self.pointer = code, detail, pointer


def json_pointer(*steps: str | int) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


def resolve_folder(folder: Path, root: Path | None = None) -> Path:
    """Check that `folder` exists and stays in `root`; without `root`, return it with its links resolved.

    Raises FolderError no_such_folder or link.
    """
    real = folder.resolve()
    if root is not None and not real.is_relative_to(root):
        raise FolderError("link", f'"{folder.relative_to(root)}" is a link that leaves the folder', "/path")
    if not real.is_dir():
        raise FolderError("no_such_folder", f'there is no folder "{folder.name}"', "/path")
    return real if root is None else folder


def class_folders(below: Path) -> list[Path]:
    """The direct subfolders, sorted by name."""
    with os.scandir(below) as entries:
        return sorted(Path(e.path) for e in entries if e.is_dir() and not e.name.startswith("."))


def images_below(folder: Path, root: Path) -> list[str]:
    """Images at any depth below `folder`, as paths relative to `root` with forward slashes; unsorted.

    Raises FolderError `link` for a link that leaves `root` or leads to a folder above it.
    """
    found: list[str] = []
    # `above` holds the resolved parent folders, so that a link to one of them cannot cause an endless loop.
    todo = [(folder, frozenset([root]))]
    while todo:
        here, above = todo.pop()
        real = resolve_inside(here, root)
        if real in above:
            raise FolderError("link", f'"{here.relative_to(root)}" is a link to a folder above it', "/path")
        with os.scandir(here) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    todo.append((Path(entry.path), above | {real}))
                elif entry.name.lower().endswith(IMAGE_SUFFIXES):
                    if entry.is_symlink():
                        resolve_inside(Path(entry.path), root)
                    found.append(os.path.relpath(entry.path, root).replace(os.sep, "/"))
    return found


def listed_images(root: Path, name: str, pointer: str) -> Iterator[tuple[int, str]]:
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
        if not path.lower().endswith(IMAGE_SUFFIXES):
            raise FolderError("no_images", f'{place}: "{path}" does not end in an image suffix', pointer)
        if not _below(root, path, pointer).is_file():
            raise FolderError("missing_image", f'{place}: there is no file "{path}"', pointer)
        yield number, str(PurePosixPath(path))


def _below(root: Path, name: str, pointer: str) -> Path:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not (root / path).resolve().is_relative_to(root):
        raise FolderError("outside_root", f'"{name}" lies outside the folder', pointer)
    return root / path


def resolve_inside(path: Path, root: Path) -> Path:
    """`path` with its links resolved. Raises FolderError `link` if the result is outside `root`."""
    real = path.resolve()
    if not real.is_relative_to(root):
        raise FolderError("link", f'"{path.relative_to(root)}" is a link that leaves the folder', "/path")
    return real


class LabelMatcher:
    """Looks up names among `labels`: by `folder_map` (folder name to label), else exactly, else by `dataset_form`,
    else by `loose_form`.

    Raises FolderError `unknown_label` if `folder_map` maps a folder to a label that is not in `labels`.
    """

    def __init__(self, labels: Sequence[str], folder_map: Mapping[str, str] | None = None) -> None:
        self._labels = labels
        self._folder_map = folder_map or {}
        self._exact = _positions(labels, str)
        self._normalised = _positions(labels, dataset_form)
        self._loose = _positions(labels, loose_form)
        for folder, label in self._folder_map.items():
            if label not in self._exact:
                detail = f'folder "{folder}" is mapped to "{label}", which is not a label of the vocabulary'
                raise FolderError("unknown_label", detail, json_pointer("folder_map", folder))

    def find(self, name: str) -> list[int]:
        """Indices of the labels called `name`, without `folder_map`."""
        return self._exact.get(name) or self._normalised.get(dataset_form(name)) or self._loosely(name)

    def _loosely(self, name: str) -> list[int]:
        form = loose_form(name)
        return self._loose.get(form, []) if form else []

    def of_folder(self, folder: str) -> int:
        """Index of the label of a folder. Raises FolderError folder_matches_no_label or ambiguous."""
        found = self._exact[self._folder_map[folder]] if folder in self._folder_map else self.find(folder)
        if not found:
            detail = f'folder "{folder}" matches no label (looked for "{dataset_form(folder)}"); name it in folder_map'
            raise FolderError("folder_matches_no_label", detail, "/folder_map")
        if len(found) > 1:
            names = ", ".join(f'{at} "{self._labels[at]}"' for at in found)
            detail = f'folder "{folder}" matches several labels ({names}); name one in folder_map'
            raise FolderError("ambiguous", detail, "/folder_map")
        return found[0]

    def of_sample(self, value: str) -> int:
        """Index of the label of a shard sample: as for a folder, else `value` read as an index from 0."""
        try:
            return self.of_folder(value)
        except FolderError:
            if value.isdecimal() and int(value) < len(self._labels):
                return int(value)
            raise

    def of_list(self, split: ByList, with_images: Collection[int]) -> tuple[list[int], list[int]]:
        """Indices of the ID and OOD labels that `split` names, each once, in its order.

        `with_images`: indices of the labels that have images. Raises FolderError unknown_label, ambiguous or no_images.
        """

        def find_one(name: str, field: str, position: int) -> int:
            pointer = json_pointer("split", field, position)
            found = self.find(name)
            if len(found) != 1:
                code, count = ("ambiguous", "several labels") if found else ("unknown_label", "no label")
                raise FolderError(code, f'"{name}" names {count} of the vocabulary', pointer)
            if found[0] not in with_images:
                raise FolderError("no_images", f'label "{name}" has no folder with images', pointer)
            return found[0]

        id_labels = list(dict.fromkeys(find_one(name, "id", at) for at, name in enumerate(split.id)))
        ood_labels = list(dict.fromkeys(find_one(name, "ood", at) for at, name in enumerate(split.ood)))
        return id_labels, ood_labels


def _positions(labels: Sequence[str], key: Callable[[str], str]) -> dict[str, list[int]]:
    positions: dict[str, list[int]] = {}
    for at, label in enumerate(labels):
        positions.setdefault(key(label), []).append(at)
    return positions
