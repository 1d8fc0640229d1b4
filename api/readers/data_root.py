"""Validation of paths in requests: they must lie below the operator's data root."""

from pathlib import Path, PurePosixPath

from api.http.problems import unprocessable
from limbeck.shared.labels import quoted

DATA_ROOT = "the data root"


def resolve_folder(
    root: Path, relative_path: str, pointer: str = "/path", *, place: str = DATA_ROOT
) -> tuple[Path, str]:
    """The folder, and its normalised path relative to `root`.

    `place` names the root in messages. Raises ProblemError that points at `pointer` if the path leaves `root`, contains
    a symbolic link, or is no folder.
    """
    folder, path = _below(root, relative_path, pointer, place)
    if not folder.is_dir():
        raise unprocessable("no_such_folder", f"there is no folder {quoted(relative_path)} below {place}", pointer)
    return folder, path


def resolve_file(root: Path, relative_path: str) -> Path:
    """The file at a path relative to `root`.

    Raises ProblemError that points at `/path` if the path leaves `root`, contains a symbolic link, or is not a file.
    """
    file, _ = _below(root, relative_path, "/path")
    if not file.is_file():
        raise unprocessable("no_such_file", f"there is no file {quoted(relative_path)} below the data root", "/path")
    return file


def resolve_path(root: Path, relative_path: str) -> tuple[Path, str]:
    """The file or folder, and its normalised path relative to `root`.

    Raises ProblemError that points at `/path` if the path leaves `root`, contains a symbolic link, or does not exist.
    """
    found, path = _below(root, relative_path, "/path")
    if not found.exists():
        detail = f"there is no file or folder {quoted(relative_path)} below the data root"
        raise unprocessable("no_such_file", detail, "/path")
    return found, path


def _below(root: Path, relative_path: str, pointer: str, place: str = DATA_ROOT) -> tuple[Path, str]:
    path = PurePosixPath(relative_path)
    if path.is_absolute() or ".." in path.parts or "\\" in relative_path:
        detail = f"{quoted(relative_path)} is outside {place}; give a path relative to {place}"
        raise unprocessable("outside_root", detail, pointer)
    found = root
    for step in path.parts:
        found = found / step
        try:
            is_link = found.is_symlink()
        except OSError as error:  # for example, a name that is too long for the disk
            detail = f"{quoted(relative_path)} is no path below {place}: {error.strerror}"
            raise unprocessable("no_such_folder", detail, pointer) from None
        if is_link:
            detail = f"{quoted(step)} in {quoted(relative_path)} is a symbolic link; give the path of its target"
            raise unprocessable("link", detail, pointer)
    return found, str(path)
