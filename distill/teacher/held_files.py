"""The files of a teacher below the data root, opened once and held, so that no link leads out of its folder.

    with HeldFiles(parsed, root) as held:
        source = find_teacher(parsed, held.root)
        held.open(source.weights.paths)

Libraries open a teacher's files by path: between a check of a path and its opening, a folder can become a link. Here
each step from the root is opened relative to the one before, without following links (`openat` with `O_NOFOLLOW`), and
the libraries get a private folder of the same name whose entries lead to the open files (`/proc/self/fd`).
"""

import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

from distill.config.model_names import TeacherRef
from distill.teacher.errors import TeacherError
from distill.teacher.weights.files import SUFFIXES

_SMALL_SUFFIXES = (".json", ".txt", ".model")  # configs, tokenizers and indices of shards
_MAX_SMALL_FILES = 200
_MAX_DEPTH = 2  # of the folder of a text tower
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class HeldFiles:
    """The teacher of a reference with a path below `root`, as a private folder below `self.root`. `close` removes it.

    Raises TeacherError for links, and for a path that leaves the root.
    """

    def __init__(self, parsed: TeacherRef, root: Path) -> None:
        self._name = str(parsed)
        self._descriptors: list[int] = []
        self._folders: dict[Path, int] = {}  # folder of the copy -> open folder of the teacher
        self._num_small = 0
        self._temporary = tempfile.TemporaryDirectory(prefix="teacher-")
        self.root = Path(self._temporary.name)
        try:
            self._hold(parsed, root)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def open(self, paths: Iterable[Path]) -> None:
        """Open files of weights; until then their entries in the private folder are empty files."""
        for path in paths:
            if not path.is_symlink():
                path.unlink()
                path.symlink_to(_path_of(self._opened(self._folders[path.parent], path.name)))

    def close(self) -> None:
        """Close the files and remove the private folder."""
        while self._descriptors:
            os.close(self._descriptors.pop())
        self._temporary.cleanup()

    def _hold(self, parsed: TeacherRef, root: Path) -> None:
        """Enter the folders of the path; what is missing is left out, for `find_teacher` to name."""
        path = PurePosixPath(parsed.path or "")
        if ".." in path.parts or path.is_absolute():
            raise TeacherError("teacher_not_found", f"{parsed} lies outside the data root: give a path below it")
        folder, copy = os.open(root.resolve(), _FOLDER), self.root
        self._descriptors.append(folder)
        for step in path.parts:
            copy = copy / step
            mode = _mode_of(folder, step)
            if stat.S_ISLNK(mode):
                raise self._link(step)
            if stat.S_ISREG(mode):
                self._folders[copy.parent] = folder
                copy.touch()
            if not stat.S_ISDIR(mode):
                return
            copy.mkdir()
            folder = self._opened(folder, step, _FOLDER)
        self._show(folder, copy, depth=1)

    def _show(self, folder: int, copy: Path, *, depth: int) -> None:
        """Make an entry in `copy` for each file and folder that a teacher may consist of."""
        self._folders[copy] = folder
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda one: one.name):
                suffix = os.path.splitext(entry.name)[1]
                if entry.is_dir(follow_symlinks=False):
                    if depth < _MAX_DEPTH:
                        (copy / entry.name).mkdir()
                        self._show(self._opened(folder, entry.name, _FOLDER), copy / entry.name, depth=depth + 1)
                elif suffix in _SMALL_SUFFIXES and self._num_small < _MAX_SMALL_FILES:
                    self._num_small += 1
                    (copy / entry.name).symlink_to(_path_of(self._opened(folder, entry.name)))
                elif suffix in SUFFIXES:
                    if entry.is_symlink():
                        raise self._link(entry.name)
                    (copy / entry.name).touch()

    def _opened(self, folder: int, name: str, flags: int = _FILE) -> int:
        try:
            descriptor = os.open(name, flags, dir_fd=folder)
        except OSError as error:
            if stat.S_ISLNK(_mode_of(folder, name)):
                raise self._link(name) from None
            detail = f"{name} of {self._name} cannot be opened: {error.strerror}"
            raise TeacherError("teacher_not_found", detail) from None
        self._descriptors.append(descriptor)
        if flags == _FILE and not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise TeacherError("teacher_not_found", f"{name} of {self._name} is no file: copy the teacher again")
        return descriptor

    def _link(self, name: str) -> TeacherError:
        detail = f"{name} of {self._name} is a link, and may lie outside the data root: copy what it leads to"
        return TeacherError("teacher_not_found", detail)


def _mode_of(folder: int, name: str) -> int:
    """The type of an entry, links not followed; 0 if it is missing."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except OSError:
        return 0


def _path_of(descriptor: int) -> str:
    return f"/proc/self/fd/{descriptor}"
