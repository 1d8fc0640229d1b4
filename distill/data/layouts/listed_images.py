"""Collects the images that the lists of a layout name, and finds them on disk. Imports no torch."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from distill.data.image_folders import FolderError, resolve_inside
from distill.data.image_source import ImageSource
from distill.data.layouts.listing import ListedImage, Listing
from limbeck.shared.images.kinds import is_image_name

_NO_LABEL = "image without a label"
_NOT_LISTED = "image that no list names"


class ListedImages:
    """The images of the lists of a layout. `add` each, then `finish`.

    `base`: the folder of the layout, in or equal to `root`. A folder is listed once, so that a million images need no
    million checks.
    """

    def __init__(self, layout: str, root: Path, base: Path, source: ImageSource, *, label_noun: str = "label") -> None:
        self.listing = Listing(layout, label_noun=label_noun)
        self._root, self._source = root, source
        self._prefix = base.relative_to(root).as_posix()
        self._files: dict[str, frozenset[str]] = {}
        self._positions: dict[str, int] = {}
        self._missing: list[str] = []
        self._folder = ""
        if base != root:
            self.listing.notes.append(f'the layout "{layout}" was found in "{base.relative_to(root).as_posix()}"')

    def add(self, name: str, labels: Sequence[str], part: str | None, *, folders: Iterable[str] = ("",)) -> None:
        """Add an image. `name`: its path in one of `folders`, which are relative to the base.

        Raises FolderError outside_root, link, or image_twice if another part has the image too.
        """
        path = self._find(name, folders)
        if path is None:
            self._missing.append(name)
        elif not is_image_name(path):
            self.listing.skipped.add(f"not an image ({PurePosixPath(path).suffix})", path)
        elif not labels:
            self.listing.skipped.add(_NO_LABEL, path)
            self._positions.setdefault(path, -1)
        else:
            self._add_found(path, tuple(labels), part)

    def finish(self) -> Listing:
        """The listing; images beside the listed ones are counted.

        Raises FolderError missing_image if listed images are missing and the source does not skip them, and
        no_images.
        """
        num_listed = len(self._positions) + len(self._missing)
        if self._missing and self._source.missing == "refuse":
            detail = (
                f'{len(self._missing):,} of {num_listed:,} listed images are missing, such as "{self._missing[0]}"; '
                '"missing": "skip" uses the others'
            )
            raise FolderError("missing_image", detail, "/images/missing")
        for name in self._missing:
            self.listing.skipped.add("missing file", name)
        if not self.listing.images:
            raise FolderError("no_images", "the lists name no image with a label", "/path")
        for folder, names in self._files.items():
            for name in sorted(names):
                path = f"{folder}/{name}" if folder else name
                if path not in self._positions and is_image_name(name):
                    self.listing.skipped.add(_NOT_LISTED, path)
        return self.listing

    def _add_found(self, path: str, labels: tuple[str, ...], part: str | None) -> None:
        at = self._positions.get(path, -1)
        if at < 0:
            self._positions[path] = len(self.listing.images)
            self.listing.images.append(ListedImage(path, labels, part))
            return
        listed = self.listing.images[at]
        if listed.part != part:
            raise FolderError("image_twice", f'"{path}" is in the parts {listed.part} and {part}', "/path")
        self.listing.images.set_labels(at, tuple(dict.fromkeys(listed.labels + labels)))

    def _find(self, name: str, folders: Iterable[str]) -> str | None:
        """The path relative to the root of an image; the folder that held the last image is tried first."""
        # Strings instead of Path objects: a dataset has millions of images.
        relative = name.replace("\\", "/").removeprefix("./")
        if relative.startswith("/") or ".." in relative.split("/"):
            raise FolderError("outside_root", f'"{name}" lies outside the folder', "/path")
        candidates = list(folders)
        if self._folder in candidates:
            candidates.insert(0, self._folder)
        for folder in candidates:
            path = "/".join(one for one in (self._prefix, folder, relative) if one not in ("", "."))
            parent, _, file_name = path.rpartition("/")
            if file_name in self._names_in(parent):
                self._folder = folder
                return path
        return None

    def _names_in(self, folder: str) -> frozenset[str]:
        """The names of the regular files in a folder, given relative to the root. Raises FolderError link."""
        if folder not in self._files:
            self._files[folder] = self._scan(self._root / folder)
        return self._files[folder]

    def _scan(self, folder: Path) -> frozenset[str]:
        resolve_inside(folder, self._root)
        try:
            with os.scandir(folder) as entries:
                files = [entry for entry in entries if entry.is_file()]
        except (FileNotFoundError, NotADirectoryError):
            return frozenset()
        for entry in files:
            if entry.is_symlink():
                resolve_inside(Path(entry.path), self._root)
        return frozenset(entry.name for entry in files if not entry.name.startswith("."))
