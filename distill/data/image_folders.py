"""List image files below a folder, without following a link out of it. Imports no torch.

Images are files ending in .jpg .jpeg .png .webp .bmp, in any case. Names that start with a dot are ignored. A link may
point to a file or folder below the same root; a link that leaves the root is an error and is not skipped.
"""

import os
from pathlib import Path

from limbeck.shared.images.kinds import IMAGE_SUFFIXES


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


def resolve_inside(path: Path, root: Path) -> Path:
    """`path` with its links resolved. Raises FolderError `link` if the result is outside `root`."""
    real = path.resolve()
    if not real.is_relative_to(root):
        raise FolderError("link", f'"{path.relative_to(root)}" is a link that leaves the folder', "/path")
    return real
