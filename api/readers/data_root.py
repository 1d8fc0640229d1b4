"""Validation of paths in requests: they must lie below the operator's data root."""

from pathlib import Path, PurePosixPath

from api.http.problems import unprocessable


def resolve_folder(root: Path, relative_path: str) -> tuple[Path, str]:
    """The folder, and its normalised path relative to `root`.

    Raises ProblemError that points at `/path` if the path leaves `root`, contains a symbolic link, or is not a folder.
    """
    folder = _below(root, relative_path)
    if not folder.is_dir():
        raise unprocessable("no_such_folder", f'there is no folder "{relative_path}" below the data root', "/path")
    return folder, str(PurePosixPath(relative_path))


def resolve_file(root: Path, relative_path: str) -> Path:
    """The file at a path relative to `root`.

    Raises ProblemError that points at `/path` if the path leaves `root`, contains a symbolic link, or is not a file.
    """
    file = _below(root, relative_path)
    if not file.is_file():
        raise unprocessable("no_such_file", f'there is no file "{relative_path}" below the data root', "/path")
    return file


def _below(root: Path, relative_path: str) -> Path:
    path = PurePosixPath(relative_path)
    if path.is_absolute() or ".." in path.parts or "\\" in relative_path:
        detail = f'"{relative_path}" is outside the data root; give a path relative to the data root'
        raise unprocessable("outside_root", detail, "/path")
    found = root
    for step in path.parts:
        found = found / step
        if found.is_symlink():
            detail = f'"{step}" in "{relative_path}" is a symbolic link; give the path of its target'
            raise unprocessable("link", detail, "/path")
    return found
