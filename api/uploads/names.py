"""Rules for the names of uploaded files and of members of archives: those of paths below the data root, and more."""

from collections.abc import Iterable

from api.http.schemas import unstorable_reason
from limbeck.shared.text import counted

MAX_PATH_CHARS, MAX_STEP_BYTES, MAX_DEPTH = 1000, 255, 32


def path_fault(path: str) -> str | None:
    """Why a file may not have this path relative to its upload; None if it may. The reason is a predicate."""
    if reason := unstorable_reason(path):
        return reason
    if not path or len(path) > MAX_PATH_CHARS:
        return f"has {counted(len(path), 'character')}; 1 to {MAX_PATH_CHARS:,} are allowed"
    if path.startswith("/"):
        return "is absolute; give a path relative to the folder"
    if "\\" in path:
        return "has a backslash; write / between folders"
    steps = path.split("/")
    if len(steps) > MAX_DEPTH:
        return f"has {counted(len(steps), 'folder')}; at most {MAX_DEPTH} are allowed"
    for step in steps:
        if step in ("", ".", ".."):
            return f'has the step "{step}"; every step must be a name'
        if len(step.encode()) > MAX_STEP_BYTES:
            return f"has a name of more than {MAX_STEP_BYTES} bytes"
    return None


class PathSet:
    """The paths of files in one folder, each once, and none of them a folder of another; with at most `max_folders`.

    A folder takes disk too, and 31 folders for each file would take 31 times what the files count against the quota.
    """

    def __init__(self, max_folders: int) -> None:
        self._max_folders = max_folders
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def add(self, path: str) -> str | None:
        """Add the path of a file that has no `path_fault`. Returns why it cannot be beside the others, or None."""
        if path in self._files:
            return "is there twice"
        if path in self._folders:
            return "is a file and a folder"
        folder = path
        while slash := folder.rpartition("/")[0]:
            folder = slash
            if folder in self._files:
                return f'lies in "{folder}", which is a file'
            if folder in self._folders:
                break
            self._folders.add(folder)
        if len(self._folders) > self._max_folders:
            return f"needs more than {self._max_folders:,} folders (LIMBECK_UPLOAD_MAX_FILES)"
        self._files.add(path)
        return None


def first_fault(paths: Iterable[str], max_folders: int) -> tuple[int, str] | None:
    """Position and reason of the first path that is not allowed."""
    known = PathSet(max_folders)
    for position, path in enumerate(paths):
        if reason := path_fault(path) or known.add(path):
            return position, reason
    return None
