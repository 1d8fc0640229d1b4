"""The end of an upload: its bytes are verified, an archive is unpacked, and its files do not change any more.

Everything can be repeated: a server that dies in between leaves the upload as it was.
"""

import hashlib
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from api.http.dependencies import Services
from api.http.problems import ProblemError
from api.uploads.archives import ArchiveContents, ArchiveLimits, check_archive, unpack_archive
from api.uploads.content import disk_problem, offset_problem
from api.uploads.listing import StreamListing
from distill.data.files.exclusion import rule_against
from distill.data.image_folders import SHARD_SUFFIX
from store.models import Upload
from store.uploads import uploads
from store.uploads.places import UploadPlace

SEAL_WAIT_S = 7200.0
_UNPACKING = "unpacking-"
_BLOCK = 1 << 20


@dataclass(frozen=True)
class SealedFiles:
    """The files of an upload as they will stay. `path`: the folder with the images."""

    path: str
    num_files: int
    reserved: int


def prepare(
    services: Services, place: UploadPlace, row: Upload, listing: StreamListing, sha256: str | None
) -> SealedFiles:
    """Verify and unpack the files, while the caller holds the lock of the upload. Raises ProblemError."""
    if row.received < row.size:
        detail = f"{row.id} has {row.received:,} of {row.size:,} bytes: send the rest first"
        raise offset_problem(row, "upload_incomplete", detail)
    try:
        _verify(services, place, row, listing, sha256)
        if row.kind == "folder":
            return SealedFiles(images_folder(place.files), row.num_files, row.reserved)
        contents = _unpack(services, place, row, listing)
    except OSError as error:
        raise disk_problem(error) from error
    return SealedFiles(images_folder(place.files), contents.num_files, contents.num_bytes)


def finish(place: UploadPlace) -> None:
    """Remove what a complete upload does not need. A crash before it only costs space until the upload is deleted."""
    for path in (place.archive, place.listing):
        path.unlink(missing_ok=True)


def _verify(services: Services, place: UploadPlace, row: Upload, listing: StreamListing, sha256: str | None) -> None:
    """Every file has its size, lies safely on the disk, and all together have the digest."""
    digest = hashlib.sha256()
    place.files.mkdir(exist_ok=True)
    os.sync()  # once: an fsync of each of 20,000 files takes a minute
    for at, (path, size) in enumerate(zip(listing.paths, listing.sizes, strict=True)):
        file = place.archive if row.kind == "archive" else place.files / path
        if size == 0:  # no byte of the stream has made it
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        elif not file.is_file() or file.stat().st_size != size:
            with services.db.write() as tx:
                uploads.advance(tx, row.id, start=row.received, end=listing.starts[at])
                row = uploads.get(tx, row.id)
            detail = f'"{path}" was damaged on the disk of the service: send the bytes from {row.received:,} again'
            raise offset_problem(row, "upload_damaged", detail)
        if sha256:
            with file.open("rb") as opened:
                while block := opened.read(_BLOCK):
                    digest.update(block)
    if sha256 and digest.hexdigest() != sha256:
        detail = f"the bytes of {row.id} do not have this sha256: the files changed while they were sent; delete it"
        raise ProblemError(409, "digest_mismatch", detail)


def _unpack(services: Services, place: UploadPlace, row: Upload, listing: StreamListing) -> ArchiveContents:
    name, settings = listing.paths[0], services.settings
    for left_over in (place.files, *place.folder.glob(f"{_UNPACKING}*")):
        shutil.rmtree(left_over, ignore_errors=True)
    with services.db.read() as tx:
        others = uploads.reserved_bytes(tx, beside=row.id)
    quota = settings.upload_quota_bytes
    packed = max(row.size, uploads.FILE_BYTES)
    limits = ArchiveLimits(settings.upload_max_files, quota - others - packed)
    contents = check_archive(place.archive, name, limits)
    if contents.is_shard:
        place.files.mkdir()
        os.link(place.archive, place.files / (name if name.endswith(SHARD_SUFFIX) else name + SHARD_SUFFIX))
        return ArchiveContents(1, packed, is_shard=True)
    with services.db.write() as tx:
        uploads.reserve(tx, row.id, packed + contents.num_bytes, quota_bytes=quota)
    target = place.folder / f"{_UNPACKING}{secrets.token_hex(4)}"
    try:
        contents = unpack_archive(place.archive, name, ArchiveLimits(limits.num_files, contents.num_bytes), target)
        os.sync()
        target.rename(place.files)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        with services.db.write() as tx:
            uploads.release(tx, row.id, packed)
        raise
    return contents


def images_folder(root: Path) -> str:
    """The folder below `root` with the images: while a folder holds one folder with folders and nothing else, that one.

    A packed folder `birds` with a folder for each label is `birds`; a single folder of images is the one of a label.
    """
    path = root
    while (only := _only_folder(path)) is not None and _has_folder(only):
        path = only
    return path.relative_to(root).as_posix()


def _only_folder(folder: Path) -> Path | None:
    found: Path | None = None
    with os.scandir(folder) as entries:
        for entry in entries:
            if rule_against(entry.name):
                continue
            if found is not None or not entry.is_dir(follow_symlinks=False):
                return None
            found = Path(entry.path)
    return found


def _has_folder(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(entry.is_dir(follow_symlinks=False) and not rule_against(entry.name) for entry in entries)
