"""Paths that a request names, checked against the operator's data root."""

from pathlib import Path, PurePosixPath

from api.http.problems import refused


def below_data_root(root: Path, given: str) -> tuple[Path, str]:
    """The folder and its plain path below the root. Refuses what leaves the root, and any link on the way."""
    path = PurePosixPath(given)
    if path.is_absolute() or ".." in path.parts or "\\" in given:
        raise refused("outside_root", f'"{given}" lies outside the data root; give a path relative to it', "/path")
    folder = root
    for step in path.parts:
        folder = folder / step
        if folder.is_symlink():
            raise refused("link", f'"{step}" in "{given}" is a link; name the folder itself', "/path")
    if not folder.is_dir():
        raise refused("no_such_folder", f'there is no folder "{given}" below the data root', "/path")
    return folder, str(path)
