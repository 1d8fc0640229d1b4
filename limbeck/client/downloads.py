"""Rules of downloading a bundle that both clients share.

A download never replaces a file that it did not write: it refuses a folder with other content, before it writes to it.
A file arrives as `NAME.DIGEST.part` and is renamed when its size and sha256 are verified; `manifest.json` comes last.
What has arrived of a file stays after an interruption or on a full disk, and the same download continues with it.
"""

import errno
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from glob import escape
from hashlib import sha256
from pathlib import Path, PurePosixPath

from limbeck.errors import BrokenDownload, DiskFull, FilesInTheWay, MissingPart
from limbeck.models import ManifestEntry
from limbeck.shared.bundle.files import MANIFEST_FILE, BundleError, file_sha256, parse_manifest

if sys.platform != "win32":
    import fcntl

BUNDLE_PARTS = ("image", "pairing", "onnx", "targets")
DEFAULT_PARTS = ("image", "onnx", "targets")
"""The parts that are downloaded if none are named, as far as the bundle has them."""
LOCK_POLL_S = 0.5
_DIGEST_CHARS = 12
_FULL = (errno.ENOSPC, errno.EDQUOT)

OnProgress = Callable[[str, int, int], None]


def manifest_files(content: bytes) -> list[ManifestEntry]:
    """The files that a manifest lists. Raises BrokenDownload for an invalid manifest or a path outside the bundle."""
    try:
        return [ManifestEntry.model_validate(entry) for entry in parse_manifest(content, MANIFEST_FILE)["files"]]
    except BundleError as error:
        raise BrokenDownload(str(error)) from None


def check_digest(content: bytes, file: ManifestEntry) -> None:
    """Raise BrokenDownload if the content of a file has another sha256 than its entry."""
    if sha256(content).hexdigest() != file.sha256:
        raise BrokenDownload(f"{file.path} has a wrong sha256: repeat the download")


def select_files(files: Iterable[ManifestEntry], parts: Iterable[str] | None) -> list[ManifestEntry]:
    """The files in the folders `parts` (None: all folders), and all files outside the folders of parts."""
    excluded = set() if parts is None else set(BUNDLE_PARTS) - set(parts)
    return [file for file in files if PurePosixPath(file.path).parts[0] not in excluded]


def check_parts(content: bytes, files: Iterable[ManifestEntry], parts: Sequence[str] | None) -> None:
    """Raise MissingPart for a folder of `parts` that the bundle lacks; the manifest has the reason if it is known."""
    if parts is None or parts == DEFAULT_PARTS:
        return
    present = {PurePosixPath(file.path).parts[0] for file in files}
    left_out = json.loads(content).get("left_out") or {}
    for part in parts:
        if part not in present:
            reason = f" ({left_out[part]})" if part in left_out else ""
            raise MissingPart(f"the checkpoint has no part {part}{reason}: download it without this part")


def make_folder(folder: Path) -> None:
    """Create the folder of a download if necessary. Raises FilesInTheWay if a file has its name."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise FilesInTheWay([folder], "not a folder") from None


def missing_files(
    folder: Path, manifest: ManifestEntry, files: Sequence[ManifestEntry], checkpoint_id: str
) -> list[ManifestEntry]:
    """The files that the folder lacks. Reads the others, and raises FilesInTheWay if they have another content."""
    if _exists(folder / manifest.path) and not _is_complete(folder / manifest.path, manifest):
        raise FilesInTheWay([folder / manifest.path], f"the folder holds another checkpoint than {checkpoint_id}")
    in_the_way: list[Path] = []
    missing: list[ManifestEntry] = []
    for file in files:
        target = folder / file.path
        if (blocked := _blocking_parent(folder, file)) is not None:
            in_the_way.append(blocked)
        elif not _exists(target):
            missing.append(file)
        elif not _is_complete(target, file):
            in_the_way.append(target)
    if in_the_way:
        raise FilesInTheWay(list(dict.fromkeys(in_the_way)), f"other content than in checkpoint {checkpoint_id}")
    return missing


def _exists(path: Path) -> bool:
    return os.path.lexists(path)


def _is_complete(path: Path, file: ManifestEntry) -> bool:
    return path.is_file() and path.stat().st_size == file.size and file_sha256(path) == file.sha256


def _blocking_parent(folder: Path, file: ManifestEntry) -> Path | None:
    """A file where a folder of the bundle must be."""
    parents = [folder / parent for parent in PurePosixPath(file.path).parents]
    return next((path for path in parents if _exists(path) and not path.is_dir()), None)


def partial_path(folder: Path, file: ManifestEntry) -> Path:
    """Where a file arrives; the digest in the name says which file it is a part of."""
    target = folder / file.path
    return target.with_name(f"{target.name}.{file.sha256[:_DIGEST_CHARS]}.part")


def size_of(path: Path) -> int:
    """The size of a file in bytes; 0 if there is none."""
    return path.stat().st_size if path.exists() else 0


def check_space(folder: Path, files: Iterable[ManifestEntry]) -> None:
    """Raise DiskFull if the disk has less space than the missing bytes."""
    needed = sum(max(0, file.size - size_of(partial_path(folder, file))) for file in files)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DiskFull(f"{folder}: the download needs {_megabytes(needed)}, and the disk has {_megabytes(free)} left")


def put_in_place(partial: Path, target: Path) -> None:
    """Give a verified file its name. The data is on the disk before the name is."""
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(target)


def write_manifest(folder: Path, manifest: ManifestEntry, content: bytes) -> None:
    """Write `manifest.json`, whose presence says that the folder is a bundle, and remove outdated parts of files."""
    partial = partial_path(folder, manifest)
    partial.write_bytes(content)
    put_in_place(partial, folder / manifest.path)
    for file in manifest_files(content):
        target = folder / file.path
        outdated = re.compile(rf"{re.escape(target.name)}\.[0-9a-f]{{{_DIGEST_CHARS}}}\.part")
        for path in target.parent.glob(f"{escape(target.name)}.*.part"):
            if outdated.fullmatch(path.name):
                path.unlink()


@contextmanager
def full_disk_named(folder: Path) -> Iterator[None]:
    """Turn the error of a full disk into DiskFull; other errors of the file system stay an OSError."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise DiskFull(
            f"{folder}: {error.strerror}; what has arrived is kept in files *.part: free some space, and repeat the "
            "download to continue"
        ) from None


class FolderLock:
    """Lets one download at a time write to a folder, also among processes. Leaves no file behind.

    Without effect on file systems that have no locks; two downloads then can need several attempts.
    """

    def __init__(self, folder: Path) -> None:
        self._descriptor = os.open(folder, os.O_RDONLY) if sys.platform != "win32" else None

    def acquire(self) -> bool:
        """Whether the lock is held now; False while another download holds it."""
        if sys.platform == "win32" or self._descriptor is None:
            return True
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def close(self) -> None:
        """Release the lock."""
        if self._descriptor is not None:
            with suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None


def _megabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:,.1f} MB"
