"""Validation of folder paths in requests: they must lie below the operator's data root."""

from pathlib import Path, PurePosixPath

from api.http.problems import unprocessable


def resolve_folder(root: Path, relative_path: str) -> tuple[Path, str]:
    """The folder, and its normalised path relative to `root`.

    Raises ProblemError that points at `/path` if the path leaves `root`, contains a symbolic link, or is not a folder.
    """
    path = PurePosixPath(relative_path)
    if path.is_absolute() or ".." in path.parts or "\\" in relative_path:
        detail = f'"{relative_path}" is outside the data root; give a path relative to the data root'
        raise unprocessable("outside_root", detail, "/path")
    folder = root
    for step in path.parts:
        folder = folder / step
        if folder.is_symlink():
            detail = f'"{step}" in "{relative_path}" is a symbolic link; give the path of its target'
            raise unprocessable("link", detail, "/path")
    if not folder.is_dir():
        raise unprocessable("no_such_folder", f'there is no folder "{relative_path}" below the data root', "/path")
    return folder, str(path)
