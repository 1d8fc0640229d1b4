"""WebDataset shards: tar files whose members of one key, one after the other, are a sample (`0001.jpg`, `0001.cls`).

A sample's image is named by where it lies, `birds-000.tar!1536+20480!0001.jpg`: shard, first byte, bytes, member. Such
a name goes wherever an image's path does, so that shards are read as class folders are, in place and byte range by
byte range; every rank and thread reads what it needs and nothing else, and which samples a step sees is a function of
its number, as ever. `read_image(path)` reads either. Without torch.
"""

import json
import os
import re
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from distill.data.image_folders import IMAGE_SUFFIXES, FolderError, resolve_inside

# A file may change twice within the grain of its time stamp, so that a fresh one proves nothing.
SETTLED_NS = 2_000_000_000
_MEMBER = re.compile(r"(?P<shard>.*\.tar)!(?P<first>\d+)\+(?P<size>\d+)!", re.DOTALL)


class Sample(NamedTuple):
    """`path`: of its image, relative to the root. `label`: what its `.cls`, or `label` in its `.json`, says."""

    path: str
    label: str


def is_member(path: str) -> bool:
    """Whether a path is of a sample in a shard."""
    return _MEMBER.match(path) is not None


def shard_of(path: str) -> str:
    """The shard that a sample's path lies in; for a file the folder it lies in."""
    match = _MEMBER.match(path)
    return match["shard"] if match else path.rpartition("/")[0]


def read_image(path: Path) -> bytes:
    """The bytes of an image, a file or a sample in a shard. Raises OSError."""
    match = _MEMBER.match(str(path))
    if match is None:
        return path.read_bytes()
    with open(match["shard"], "rb") as shard:
        shard.seek(int(match["first"]))
        data = shard.read(int(match["size"]))
    if len(data) < int(match["size"]):
        raise OSError(0, "the shard is shorter than it was", match["shard"])
    return data


def file_stamp(path: Path) -> bytes | None:
    """The key of an image as it stands: path, size and time of change of its file; None if missing, or fresh."""
    match = _MEMBER.match(str(path))
    try:
        status = (Path(match["shard"]) if match else path).stat()
    except OSError:
        return None
    if time.time_ns() - status.st_mtime_ns < SETTLED_NS:
        return None
    from distill.data.row_cache import key_of  # which brings numpy, and the API starts without

    return key_of(os.path.abspath(path), f"{status.st_size} {status.st_mtime_ns}")


def shards_below(folder: Path) -> list[Path]:
    """The shards right below, by name. Raises FolderError for compressed ones, which cannot be read in place."""
    files = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    packed = [path.name for path in files if re.search(r"\.(tar\.\w+|tgz|tbz2|txz)$", path.name)]
    if packed:
        raise FolderError("packed_shard", f'"{packed[0]}" is compressed: unpack it to a .tar', "/path")
    return [path for path in files if path.name.endswith(".tar") and path.is_file()]


def read_samples(shard: Path, root: Path) -> Iterator[Sample]:
    """The samples of a shard below `root`, in order; those without an image are passed over.

    Raises FolderError bad_shard for a file that is no tar or is cut short, no_label for an image without one.
    """
    resolve_inside(shard, root)
    name = shard.relative_to(root).as_posix()
    size = shard.stat().st_size
    key, image, label = "", "", None
    try:
        with tarfile.open(shard, "r:") as archive:
            for member in archive:
                if not member.isfile():
                    continue
                if member.offset_data + member.size > size:
                    raise tarfile.ReadError("the last member is cut short")
                its_key, suffix = _parted(member.name)
                if its_key != key:
                    yield from _whole(name, key, image, label)
                    key, image, label = its_key, "", None
                if f".{suffix}" in IMAGE_SUFFIXES and not image:
                    image = f"{name}!{member.offset_data}+{member.size}!{member.name}"
                elif suffix in ("cls", "json") and label is None:
                    label = _label(archive, member, suffix)
    except (tarfile.TarError, EOFError) as error:
        raise FolderError("bad_shard", f'"{name}" is no tar file, or is cut short: {error}', "/path") from None
    yield from _whole(name, key, image, label)


def _parted(name: str) -> tuple[str, str]:
    folder, slash, base = name.rpartition("/")
    first, _, suffix = base.partition(".")
    return folder + slash + first, suffix.lower()


def _label(archive: tarfile.TarFile, member: tarfile.TarInfo, suffix: str) -> str | None:
    content = archive.extractfile(member)
    assert content is not None  # of a regular file
    try:
        text = content.read().decode()
        if suffix == "cls":
            return text.strip()
        said = json.loads(text)
        return str(said["label"]) if isinstance(said, dict) and "label" in said else None
    except ValueError as error:
        raise FolderError("no_label", f'"{member.name}" cannot be read: {error}', "/path") from None


def _whole(shard: str, key: str, image: str, label: str | None) -> Iterator[Sample]:
    if not image:
        return
    if not label:
        raise FolderError("no_label", f'{shard}: sample "{key}" has no .cls, and no "label" in a .json', "/path")
    yield Sample(image, label)
