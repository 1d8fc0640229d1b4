"""The files in a tar: where the bytes of each one lie. Imports no torch.

Read to the end of the file, so that a tar that is truncated, damaged or followed by a second one is noticed. Links are
followed inside the tar. Of a member that appears several times the last one counts, as when the tar is unpacked.
"""

import posixpath
import tarfile
from pathlib import Path
from typing import BinaryIO, NamedTuple

from distill.data.files.exclusion import Exclusion
from distill.data.files.regular_files import open_regular
from distill.data.image_folders import FolderError, resolve_inside

_BLOCK, _CHUNK = 512, 1 << 20
_PACKED = (
    (b"\x1f\x8b", "compressed by gzip"),
    (b"BZh", "compressed by bzip2"),
    (b"\xfd7zXZ", "compressed by xz"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd"),
    (b"PK\x03\x04", "a zip archive"),
)


class Member(NamedTuple):
    """A file in a tar: `name` as stored, its first byte in the tar, and its size in bytes."""

    name: str
    first: int
    size: int

    @property
    def path(self) -> str:
        """The name without `./`, for comparison with other names."""
        return posixpath.normpath(self.name)


def read_members(shard: Path, root: Path, exclusion: Exclusion) -> list[Member]:
    """The files in a shard below `root`, in order; what is left out is reported to `exclusion`.

    Raises FolderError link, packed_shard, bad_shard or folder_unreadable.
    """
    resolve_inside(shard, root)
    name = shard.relative_to(root).as_posix()
    try:
        with open_regular(shard) as file:
            _refuse_packed(file, name)
            return _members(file, name, exclusion)
    except (tarfile.TarError, EOFError) as error:
        raise FolderError("bad_shard", f'"{name}" is not a tar file, or is truncated: {error}', "/path") from None
    except OSError as error:
        raise FolderError("folder_unreadable", f'"{name}" cannot be read: {error.strerror}', "/path") from None


def _refuse_packed(file: BinaryIO, name: str) -> None:
    head = file.read(8)
    file.seek(0)
    for magic, kind in _PACKED:
        if head.startswith(magic):
            raise FolderError("packed_shard", f'"{name}" is {kind}: unpack it to a .tar', "/path")


def _members(file: BinaryIO, shard: str, exclusion: Exclusion) -> list[Member]:
    size = file.seek(0, 2)
    file.seek(0)
    found: dict[str, Member] = {}
    links: list[tarfile.TarInfo] = []
    with tarfile.open(fileobj=file, mode="r:", encoding="utf-8", errors="surrogateescape") as archive:
        while (info := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # else a large tar takes a kilobyte per member
            path = posixpath.normpath(info.name)
            if info.isdir() or exclusion.leaves_out_member(shard, path):
                continue
            if info.issym() or info.islnk():
                links.append(info)
            elif not info.isreg() or info.issparse():
                exclusion.skip("shard member that is no ordinary file", f"{shard}/{path}")
            elif info.offset_data + info.size > size:
                raise tarfile.ReadError("the last member is truncated")
            else:
                _add(found, Member(info.name, info.offset_data, info.size), shard, exclusion)
        end = archive.offset
    _refuse_rest(file, end, size)
    for info in links:
        _follow(found, info, shard, exclusion)
    return list(found.values())


def _add(found: dict[str, Member], member: Member, shard: str, exclusion: Exclusion) -> None:
    if found.pop(member.path, None) is not None:
        exclusion.skip("shard member repeated, the last one counts", f"{shard}/{member.path}")
    found[member.path] = member


def _refuse_rest(file: BinaryIO, end: int, size: int) -> None:
    """Raise ReadError if anything but zeros follows the last member."""
    file.seek(end)
    is_ended = not file.read(_BLOCK).strip(b"\0")
    file.seek(end)
    for start in range(end, size, _CHUNK):
        if file.read(_CHUNK).strip(b"\0"):
            kind = "several tar files in one, of which all but the first would be lost" if is_ended else "damaged"
            raise tarfile.ReadError(f"after byte {start} it is {kind}: write it again")


def _follow(found: dict[str, Member], info: tarfile.TarInfo, shard: str, exclusion: Exclusion) -> None:
    """Add a link in a tar under its own name, with the bytes of the member that it leads to."""
    start = posixpath.dirname(info.name) if info.issym() else ""
    target = found.get(posixpath.normpath(posixpath.join(start, info.linkname)))
    if target is None:
        exclusion.skip("link that leads nowhere", f"{shard}/{posixpath.normpath(info.name)}")
    else:
        _add(found, Member(info.name, target.first, target.size), shard, exclusion)
