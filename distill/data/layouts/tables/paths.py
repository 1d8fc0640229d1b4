"""Finds the image files that a table names. Each folder is listed once for all rows. No torch."""

import os
import posixpath
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from distill.data.image_folders import FolderError, resolve_inside
from distill.data.shards import is_member
from limbeck.shared.images.kinds import IMAGE_SUFFIXES, is_image_name
from limbeck.shared.labels import quoted

_URL = re.compile(r"[a-z][a-z0-9+.-]*://|data:", re.IGNORECASE)
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_TRIED = 50
_SPECIAL = frozenset(["", ".", ".."])
NOWHERE = "\0/"
"""The place of an image without a path: no folder has this name."""


@dataclass(frozen=True)
class Folder:
    """Names of the files in a folder; `links` are symbolic links."""

    files: frozenset[str]
    links: frozenset[str]

    @cached_property
    def loose(self) -> Mapping[str, list[str]]:
        """Names by their form without case."""
        names: dict[str, list[str]] = {}
        for name in sorted(self.files):
            names.setdefault(_loose(name), []).append(name)
        return names


@dataclass
class ImagePaths:
    """Resolves the paths in one table, which are relative to `base` (below `root`, empty for `root` itself).

    `notes`: how paths were read, with the number of images. `pointer`: of the errors.
    """

    root: Path
    table: str
    base: str
    pointer: str = "/images/file"
    notes: Counter[str] = field(default_factory=Counter)
    _folders: dict[str, Folder | None] = field(default_factory=dict)
    _written: dict[tuple[str, str], str] = field(default_factory=dict)

    def find(self, value: str, line: int) -> str | None:
        """The path of an image below the root; None if there is no such file.

        Raises FolderError remote_image, outside_root, link or ambiguous_image.
        """
        folder, name = self._folder_and_name(value, line)
        listed = self._folder(folder)
        place = f"{folder}/" if folder else ""
        found = None if listed is None else self.find_in(place, listed, name, line)
        return None if found is None else place + found

    def find_in(self, place: str, listed: "Folder", name: str, line: int) -> str | None:
        """The name of an image in the folder `place`, whose path ends in `/`; None if there is no such file.

        Raises FolderError link or ambiguous_image.
        """
        found = name if name in listed.files else self._similar(listed, name, line)
        if found in listed.links:
            resolve_inside(self.root / f"{place}{found}", self.root)
        return found

    def plain_files(self, written: str, line: int) -> tuple[str, frozenset[str]]:
        """The place of a folder as a table writes it, and the images in it that are files and no links.

        No images if the path needs more than that: then `find` says what it means. Raises FolderError link.
        """
        if written.startswith("/") or ":" in written or "\\" in written or ".tar!" in written:
            return "", frozenset()
        joined = posixpath.normpath(posixpath.join(self.base, written)) if written or self.base else ""
        if joined.startswith("..") or joined == ".":
            return "", frozenset()
        listed = self._folder(joined)
        if listed is None:
            return "", frozenset()
        return (f"{joined}/" if joined else ""), frozenset(filter(is_image_name, listed.files - listed.links))

    def places(self, values: Sequence[str], lines: Sequence[int]) -> list[tuple[str, str]]:
        """`place` of each value; what all paths of one folder have in common is worked out once."""
        text = "\n".join(values)
        if ":" in text or "\\" in text:
            return [self.place(value, line) for value, line in zip(values, lines, strict=True)]
        members = text.count(".tar!")
        split: list[tuple[str, str, str]]
        if members == len(values):
            split = [value.partition(".tar!") for value in values]
        else:
            split = [value.rpartition("/") for value in values]
        first = dict(zip([head for head, _, _ in reversed(split)], range(len(split) - 1, -1, -1), strict=True))
        is_plain = members in (0, len(values)) and not any(head.startswith("/") for head in first)
        if not is_plain or {name for _, _, name in split} & _SPECIAL or ("" in first and "\n/" in f"\n{text}"):
            return [self.place(value, line) for value, line in zip(values, lines, strict=True)]
        found = {head: self.place(values[at], lines[at]) for head, at in first.items()}
        if any(place + name != place + split[first[head]][2] for head, (place, name) in found.items()):
            return [self.place(value, line) for value, line in zip(values, lines, strict=True)]
        return [(found[head][0], name) for head, _, name in split]

    def place(self, value: str, line: int) -> tuple[str, str]:
        """Where a table says that an image is: its folder with a `/`, empty for the root, and its name there.

        For a member of a shard, the shard with a `!`, and the rest of the path (`distill.data.shards`). Raises
        FolderError remote_image or outside_root.
        """
        if not value:
            return NOWHERE, ""
        if is_member(value):
            shard, _, rest = value.partition(".tar!")
            return f"{self._relative(f'{shard}.tar', line)}!", rest
        folder, name = self._folder_and_name(value, line)
        return (f"{folder}/" if folder else ""), name

    def shard_bytes(self, shard: str) -> int:
        """The size of a shard; -1 if there is no such file. Raises FolderError link."""
        path = self.root / shard
        if not path.is_file():
            return -1
        return resolve_inside(path, self.root).stat().st_size

    def set_base(self, values: Iterable[tuple[int, str]], stem: str) -> None:
        """Make the folder the base in which the first images are: `base`, or the only folder in it that has them."""
        for line, value in list(values)[:_TRIED]:
            if self._inside(self.base).find(value, line) is not None:
                return
            found = [folder for folder in self._subfolders() if self._inside(folder).find(value, line) is not None]
            found = [folder for folder in found if posixpath.basename(folder) == stem] or found
            if len(found) > 1:
                names = " and ".join(quoted(folder) for folder in found[:5])
                detail = f"{self.table} line {line}: {quoted(value)} is in {names}: give images.image_folder"
                raise FolderError("ambiguous_image", detail, "/images/image_folder")
            if found:
                self.notes[f"images of {self.table} are in {found[0]}/"] = 1
                self.base = found[0]
                return

    def listing(self, folder: str) -> "Folder | None":
        """The listing of a folder, which is not kept; None if it is not there. Raises FolderError link."""
        return self._folders[folder] if folder in self._folders else self._list(folder)

    def _inside(self, folder: str) -> "ImagePaths":
        return ImagePaths(self.root, self.table, folder, self.pointer, _folders=self._folders)

    def _subfolders(self) -> list[str]:
        try:
            with os.scandir(self.root / self.base) as entries:
                names = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
        except OSError:
            return []
        return [posixpath.join(self.base, name) for name in names]

    def _folder_and_name(self, value: str, line: int) -> tuple[str, str]:
        """The folder below the root and the name that a table means. Raises FolderError.

        The folder is worked out once for all paths in it that need no more than that.
        """
        written, _, name = value.rpartition("/")
        is_plain = not value.startswith("/") and ":" not in value and "\\" not in name and name not in ("", ".", "..")
        known = self._written.get((self.base, written)) if is_plain else None
        if known is not None:
            return known, name
        folder, _, found = self._relative(value, line).rpartition("/")
        if is_plain and found == name:
            self._written[self.base, written] = folder
        return folder, found

    def _relative(self, value: str, line: int) -> str:
        """The path below the root that a table means. Raises FolderError."""
        if _URL.match(value):
            detail = f"{self.table} line {line}: {quoted(value)} is a URL: download the images, and give their paths"
            raise FolderError("remote_image", detail, self.pointer)
        path = value.replace("\\", "/")
        if path.startswith("/") or _DRIVE.match(path):
            path = self._from_absolute(path, line)
        joined = posixpath.normpath(posixpath.join(self.base, path))
        if joined.startswith("../") or joined in ("..", "."):
            raise self._outside(value, line)
        return joined

    def _from_absolute(self, path: str, line: int) -> str:
        """An absolute path below the root, or one whose leading `/` means the table's folder, as in Places."""
        if path.startswith(f"{self.root.as_posix()}/"):
            return posixpath.relpath(path, posixpath.join(self.root.as_posix(), self.base))
        inside = path.lstrip("/")
        folder, _, name = posixpath.normpath(posixpath.join(self.base, inside)).rpartition("/")
        listed = None if _DRIVE.match(path) or folder.startswith("..") else self._folder(folder)
        if listed is None or name not in listed.files:
            raise self._outside(path, line)
        return inside

    def _outside(self, value: str, line: int) -> FolderError:
        detail = f"{self.table} line {line}: {quoted(value)} lies outside the folder: give paths relative to the table"
        return FolderError("outside_root", detail, self.pointer)

    def _similar(self, listed: Folder, name: str, line: int) -> str | None:
        """A file whose name differs by a missing suffix, by case or by its Unicode form."""
        for words, wanted in (
            ("names without case or Unicode form", [name]),
            ("names without their suffix", [] if is_image_name(name) else [name + suffix for suffix in IMAGE_SUFFIXES]),
        ):
            found = [file for one in wanted for file in listed.loose.get(_loose(one), ())]
            if len(found) > 1:
                names = ", ".join(quoted(file) for file in found[:5])
                detail = f"{self.table} line {line}: {quoted(name)} could be {names}: write the whole name"
                raise FolderError("ambiguous_image", detail, self.pointer)
            if found:
                self.notes[f"{self.table} has {words}"] += 1
                return found[0]
        return None

    def _folder(self, folder: str) -> Folder | None:
        """The listing of a folder; None if it is not there. Raises FolderError link."""
        if folder not in self._folders:
            self._folders[folder] = self._list(folder)
        return self._folders[folder]

    def _list(self, folder: str) -> Folder | None:
        here = self.root / folder
        try:
            with os.scandir(here) as entries:
                found = [(entry.name, entry.is_symlink()) for entry in entries if entry.is_file()]
        except (FileNotFoundError, NotADirectoryError):
            return None
        resolve_inside(here, self.root)
        links = frozenset(name for name, is_link in found if is_link)
        return Folder(frozenset(name for name, _ in found), links)


def label_of_place(place: str) -> tuple[str, ...]:
    """The label of an image by its folder; none for an image in the root or in a shard."""
    label = "" if place.endswith("!") else posixpath.basename(place.removesuffix("/"))
    return (label,) if label else ()


def _loose(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
