"""List image files below a folder, without following a link out of it. Imports no torch.

Images are regular files whose name ends in a suffix of `limbeck.shared.images.kinds`. What is no image, what
`distill.data.files.exclusion` leaves out, links that lead nowhere, FIFOs, sockets and devices are skipped and reported.
A link may point to a file or folder below the same root; a link that leaves the root is an error and is not skipped.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from distill.data.files.exclusion import Exclusion, no_exclusion, rule_against
from limbeck.shared.images.file_names import shown_path
from limbeck.shared.images.kinds import is_image_name

SHARD_SUFFIX = ".tar"
STRAY = "image outside the class folders"
_PACKED_SHARD = re.compile(r"\.(tar\.\w+|tgz|tbz2?|txz)$")
_MAX_SUFFIX = 12

Kind = Literal["file", "folder", "nowhere", "special"]


class FolderError(ValueError):
    """A folder that cannot be used as a dataset. `code` is stable; `pointer`: JSON pointer to the input at fault.

    `detail` is one line of valid UTF-8, whatever the names of the files are.
    """

    def __init__(self, code: str, detail: str, pointer: str) -> None:
        self.code, self.detail, self.pointer = code, shown_path(detail), pointer
        super().__init__(self.detail)


@dataclass
class FoundFiles:
    """Paths relative to the root, with forward slashes; unsorted. `shards`: files ending in .tar."""

    images: list[str] = field(default_factory=list)
    shards: list[str] = field(default_factory=list)


@dataclass
class FolderEntries:
    """What lies directly in a folder: class folders and shards by name.

    `withheld`: folders left out by their name alone. `packed`: names of compressed shards. `num_images`: images outside
    the class folders.
    """

    folders: list[Path] = field(default_factory=list)
    withheld: list[Path] = field(default_factory=list)
    shards: list[str] = field(default_factory=list)
    packed: list[str] = field(default_factory=list)
    num_images: int = 0


def json_pointer(*steps: str | int) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


def resolve_folder(folder: Path, root: Path | None = None) -> Path:
    """Check that `folder` exists and stays in `root`; without `root`, return it with its links resolved.

    Raises FolderError no_such_folder or link.
    """
    real = _resolved(folder, folder.name if root is None else relative_to(folder, root))
    if root is not None and not real.is_relative_to(root):
        raise _leaves_root(relative_to(folder, root))
    if real.is_file():
        detail = f'"{folder.name}" is a file: give the folder that holds it'
        raise FolderError("no_such_folder", detail, "/path")
    if not real.is_dir():
        raise FolderError("no_such_folder", f'there is no folder "{folder.name}"', "/path")
    return real if root is None else folder


def class_folders(below: Path) -> list[Path]:
    """The direct subfolders, sorted by name, without those that are left out by their name."""
    return entries_of(below, below, no_exclusion()).folders


def entries_of(below: Path, root: Path, exclusion: Exclusion) -> FolderEntries:
    """What lies directly in the folder `below`; other files are reported to `exclusion`. Raises FolderError."""
    found = FolderEntries()
    for entry in _scan(str(below), root):
        path, kind = _relative(entry.path, root), _kind(entry)
        if kind == "folder" and rule_against(entry.name):
            if not exclusion.excludes(path, is_folder=True):
                found.withheld.append(Path(entry.path))
        elif exclusion.leaves_out(path, is_folder=kind == "folder"):
            continue
        elif kind == "folder":
            found.folders.append(Path(entry.path))
        elif kind == "file" and entry.name.endswith(SHARD_SUFFIX):
            found.shards.append(path)
        elif kind == "file" and is_image_name(entry.name):
            found.num_images += 1
            exclusion.skip(STRAY, path)
        else:
            if _PACKED_SHARD.search(entry.name):
                found.packed.append(entry.name)
            exclusion.skip(_reason(entry.name, kind), path)
    found.folders.sort()
    found.withheld.sort()
    found.shards.sort()
    return found


def images_below(folder: Path, root: Path, exclusion: Exclusion | None = None) -> list[str]:
    """Images at any depth below `folder`, as paths relative to `root` with forward slashes; unsorted.

    Raises FolderError as `files_below`.
    """
    return files_below(folder, root, exclusion or no_exclusion()).images


def files_below(folder: Path, root: Path, exclusion: Exclusion) -> FoundFiles:
    """Images and shards at any depth below `folder`; other files are reported to `exclusion`.

    Raises FolderError `link` for a link that leaves `root` or leads to a folder above it, and `folder_unreadable`.
    """
    found = FoundFiles()
    # `above` holds the resolved parent folders, so that a link to one of them cannot cause an endless loop.
    todo = [(str(folder), frozenset([root]))]
    while todo:
        here, above = todo.pop()
        real = resolve_inside(Path(here), root)
        if real in above:
            raise FolderError("link", f'"{_relative(here, root)}" is a link to a folder above it', "/path")
        for entry in _scan(here, root):
            path, kind = _relative(entry.path, root), _kind(entry)
            if exclusion.leaves_out(path, is_folder=kind == "folder"):
                continue
            if kind == "folder":
                todo.append((entry.path, above | {real}))
            elif kind == "file" and is_image_name(entry.name):
                if entry.is_symlink():
                    resolve_inside(Path(entry.path), root)
                found.images.append(path)
            elif kind == "file" and entry.name.endswith(SHARD_SUFFIX):
                found.shards.append(path)
            else:
                exclusion.skip(_reason(entry.name, kind), path)
    return found


def resolve_inside(path: Path, root: Path) -> Path:
    """`path` with its links resolved. Raises FolderError `link` if the result is outside `root`."""
    real = _resolved(path, relative_to(path, root))
    if not real.is_relative_to(root):
        raise _leaves_root(relative_to(path, root))
    return real


def relative_to(path: Path, root: Path) -> str:
    """The path of a file or folder below `root`, with forward slashes."""
    return path.relative_to(root).as_posix()


def _leaves_root(name: str) -> FolderError:
    return FolderError("link", f'"{name}" is a link that leaves the folder', "/path")


def _resolved(path: Path, name: str) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # Python 3.11 raises RuntimeError for a loop of links
        raise FolderError("link", f'"{name}" is a link in a loop of links: remove it', "/path") from None


def _relative(path: str, root: Path) -> str:
    return path[len(str(root)) :].strip(os.sep).replace(os.sep, "/")


def _scan(folder: str, root: Path) -> Iterator[os.DirEntry[str]]:
    """The entries of a folder. Raises FolderError folder_unreadable."""
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError as error:
        name = _relative(folder, root) or "the folder"
        if isinstance(error, FileNotFoundError):
            detail = f'"{name}" vanished during the scan: scan again when nothing changes the folder'
        else:
            detail = f'"{name}" cannot be read: {error.strerror}: change its permissions, or exclude it'
        raise FolderError("folder_unreadable", detail, "/path") from None


def _kind(entry: os.DirEntry[str]) -> Kind:
    """What an entry is, or what it links to."""
    try:
        if entry.is_dir():
            return "folder"
        if entry.is_file():
            return "file"
        return "nowhere" if entry.is_symlink() and not os.path.exists(entry.path) else "special"
    except OSError:  # a link to itself
        return "nowhere"


def _reason(name: str, kind: Kind) -> str:
    """Why something that is no image is skipped."""
    if kind == "nowhere":
        return "link that leads nowhere"
    if kind == "special":
        return "FIFO, socket or device"
    suffix = os.path.splitext(name)[1].lower()
    return f"not an image ({shown_path(suffix) if 1 < len(suffix) <= _MAX_SUFFIX else 'no suffix'})"
