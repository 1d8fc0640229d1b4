"""Archives: .zip, .tar and .tar.gz. Every member is checked before anything is unpacked, in a process with limited
memory and time.

Refused are names as in `names`, links, devices, members that are encrypted or packed by another method than deflate,
archives in an archive, and more files or bytes than allowed. What a dataset leaves out by its name (`.DS_Store`,
`__MACOSX`) is not unpacked. Members are written as new, plain files; neither modes nor owners nor times are taken over.
"""

import gzip
import io
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO, NamedTuple, Self

from api.http.limited_process import LimitedProcesses
from api.http.problems import ProblemError, unprocessable
from api.uploads.names import PathSet, path_fault
from distill.data.files.exclusion import Exclusion, rule_against
from distill.data.image_folders import FolderError
from distill.data.layouts.webdataset.samples import read_samples
from limbeck.shared.images.file_names import shown_path
from store.uploads.uploads import FILE_BYTES

_BLOCK = 1 << 16
_HEAD = 512
_GZIP, _ZIP, _EMPTY_ZIP = b"\x1f\x8b", b"PK\x03\x04", b"PK\x05\x06"
_ARCHIVES = (_GZIP, _ZIP, _EMPTY_ZIP, b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07")
_SUFFIXES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar")
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED, _UTF8 = 1, 1 << 11  # flags of a member
_KINDS = ".zip, .tar or .tar.gz"


class ArchiveLimits(NamedTuple):
    """`num_bytes`: the sum of the files, each of which counts as at least `FILE_BYTES`."""

    num_files: int
    num_bytes: int


class ArchiveContents(NamedTuple):
    """`is_shard`: a tar of samples with labels (WebDataset), which is read as it is."""

    num_files: int
    num_bytes: int
    is_shard: bool


class _Member(NamedTuple):
    path: str
    size: int
    content: "IO[bytes] | _Joined"


def _too_costly(what: str) -> ProblemError:
    return unprocessable("archive_too_costly", f"reading the archive takes too much {what}: pack it anew", "")


PROCESSES = LimitedProcesses(2, memory_bytes=2 * 2**30, time_s=3600.0, too_costly=_too_costly)


def check_archive(file: Path, name: str, limits: ArchiveLimits) -> ArchiveContents:
    """What the archive holds, after every member was checked. Raises ProblemError."""
    return PROCESSES.run(read_contents, file, name, limits)[0]


def unpack_archive(file: Path, name: str, limits: ArchiveLimits, target: Path) -> ArchiveContents:
    """Unpack the archive into the folder `target`, which must not exist. Raises ProblemError and OSError."""
    return PROCESSES.run(write_contents, file, name, limits, target)[0]


def read_contents(file: Path, name: str, limits: ArchiveLimits) -> tuple[ArchiveContents, list[None]]:
    """`check_archive`, in this process."""
    num_files = num_bytes = 0
    for member in _members(file, name, limits):
        num_files, num_bytes = num_files + 1, num_bytes + max(member.size, FILE_BYTES)
    if not num_files:
        raise unprocessable("archive_empty", f"{name} holds no file", "")
    return ArchiveContents(num_files, num_bytes, _is_shard(file)), []


def write_contents(file: Path, name: str, limits: ArchiveLimits, target: Path) -> tuple[ArchiveContents, list[None]]:
    """`unpack_archive`, in this process."""
    target.mkdir()
    num_files = num_bytes = 0
    for member in _members(file, name, limits):
        path = target / member.path
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        with open(descriptor, "wb") as out:
            _copy(member, out, name)
        num_files, num_bytes = num_files + 1, num_bytes + max(member.size, FILE_BYTES)
    return ArchiveContents(num_files, num_bytes, is_shard=False), []


def _copy(member: _Member, out: IO[bytes], name: str) -> None:
    """Copy exactly the declared bytes."""
    left = member.size
    while block := member.content.read(min(_BLOCK, left + 1)):
        left -= len(block)
        if left < 0:
            raise _refused(name, member.path, "is longer than the archive says")
        out.write(block)
    if left:
        raise _refused(name, member.path, "is truncated")


def _members(file: Path, name: str, limits: ArchiveLimits) -> Iterator[_Member]:
    """The files in the archive, each checked; what a dataset leaves out by its name is passed over."""
    paths, num_members, num_bytes = PathSet(limits.num_files), 0, 0
    try:
        for member in _listed(file, name):
            num_members += 1
            if num_members > limits.num_files:
                detail = f"{name} holds more than {limits.num_files:,} files (LIMBECK_UPLOAD_MAX_FILES)"
                raise unprocessable("archive_too_large", detail, "")
            if member is None:
                continue
            if fault := path_fault(member.path):
                raise _refused(name, member.path, fault)
            if any(rule_against(step) for step in member.path.split("/")):
                continue
            if fault := paths.add(member.path):
                raise _refused(name, member.path, fault)
            num_bytes += max(member.size, FILE_BYTES)
            if num_bytes > limits.num_bytes:
                detail = f"{name} unpacks to more than the {limits.num_bytes:,} bytes that are left of the quota"
                raise ProblemError(413, "upload_quota_exceeded", detail)
            yield _without_archive(member, name)
    except tarfile.ReadError as error:
        if num_members:
            raise unprocessable("archive_damaged", f"{name} is damaged: {error}", "") from None
        raise unprocessable("unknown_archive", f"{name} is no {_KINDS}: pack it as one of them", "") from None
    except (
        zipfile.BadZipFile,
        gzip.BadGzipFile,
        tarfile.TarError,
        zlib.error,
        EOFError,
        NotImplementedError,
        ValueError,
    ) as error:
        raise unprocessable("archive_damaged", f"{name} cannot be read: {shown_path(str(error)[:200])}", "") from None


def _listed(file: Path, name: str) -> Iterator[_Member | None]:
    """All members of the archive; None for a folder."""
    with file.open("rb") as opened:
        head = opened.read(8)
    if head.startswith((_ZIP, _EMPTY_ZIP)):
        yield from _in_zip(file, name)
    elif head.startswith(_GZIP) or not head.startswith(_ARCHIVES):
        with file.open("rb") as packed:
            yield from _in_tar(gzip.GzipFile(fileobj=packed) if head.startswith(_GZIP) else packed, name)
    else:
        raise unprocessable("unknown_archive", f"{name} is no {_KINDS}: pack it as one of them", "")


def _in_zip(file: Path, name: str) -> Iterator[_Member | None]:
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            path = _zip_name(info)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _refused(name, path, "is a link, a device or another special file")
            if info.flag_bits & _ENCRYPTED:
                raise _refused(name, path, "is encrypted")
            if info.compress_type not in _ZIP_METHODS:
                raise _refused(name, path, "is packed by another method than deflate")
            if path.endswith("/"):
                yield None
                continue
            with archive.open(info) as content:
                yield _Member(path, info.file_size, content)


def _zip_name(info: zipfile.ZipInfo) -> str:
    """The name of a member. macOS leaves out the flag for UTF-8, and zipfile then decodes code page 437."""
    name = info.orig_filename  # `filename` ends at a NUL character
    if info.flag_bits & _UTF8:
        return name
    try:
        return name.encode("cp437").decode()
    except UnicodeError:
        return name


def _in_tar(stream: BinaryIO | gzip.GzipFile, name: str) -> Iterator[_Member | None]:
    with tarfile.open(fileobj=stream, mode="r|", bufsize=_BLOCK, errors="surrogateescape", tarinfo=_Header) as archive:
        while (info := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # else a large tar takes a kilobyte per member
            path = info.name.removeprefix("./")
            if info.isdir():
                yield None
            elif not info.isreg() or info.issparse():
                raise _refused(name, path, "is a link, a device or another special file")
            else:
                content = archive.extractfile(info)
                assert content is not None  # a regular file
                yield _Member(path, info.size, content)
        assert archive.fileobj is not None
        while block := archive.fileobj.read(_BLOCK):  # to the end, where gzip compares its checksum
            if block.strip(b"\0"):
                raise tarfile.ReadError("its end is followed by more, such as a second tar: pack it anew")


class _Header(tarfile.TarInfo):
    """A header of a tar. tarfile takes a damaged or missing one for the end, and the members after it would be lost."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """The header in a block. Raises ReadError unless it is one, or the block of zeros that ends a tar."""
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if bytes(buf) == bytes(tarfile.BLOCKSIZE):
                raise
            detail = str(error) if buf else "it ends without an end mark, and is truncated"
            raise tarfile.ReadError(detail) from None


def _without_archive(member: _Member, name: str) -> _Member:
    """The member, after a look at its first bytes."""
    head = member.content.read(_HEAD)
    if head.startswith(_ARCHIVES) or head[257:262] == b"ustar" or member.path.lower().endswith(_SUFFIXES):
        raise _refused(name, member.path, "is an archive: unpack it, and upload the folder")
    return member._replace(content=_Joined(head, member.content))


class _Joined(io.RawIOBase):
    """The first bytes, which were read already, and the rest."""

    def __init__(self, head: bytes, rest: "IO[bytes] | _Joined") -> None:
        self._head, self._rest = head, rest

    def read(self, size: int = -1, /) -> bytes:
        if self._head:
            block, self._head = self._head[:size], self._head[size:]
            return block
        return self._rest.read(size)


def _refused(name: str, member: str, reason: str) -> ProblemError:
    return unprocessable("archive_member_refused", f'{name}: "{shown_path(member)[:200]}" {reason}', "")


def _is_shard(file: Path) -> bool:
    try:
        return bool(read_samples(file, file.parent, Exclusion((), lambda _reason, _path: None, set())).samples)
    except FolderError:
        return False
