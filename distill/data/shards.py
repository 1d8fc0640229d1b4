"""WebDataset shards: tar files in which consecutive members with the same key form a sample (`0001.jpg`, `0001.cls`).

The path of a sample's image encodes its position: `birds-000.tar!1536+20480!0001.jpg` is shard, first byte, number of
bytes, member. Such a path is valid wherever an image path is, so shards are read in place like class folders, by byte
range: each rank and thread reads only the bytes it needs, and the samples of a step stay a function of its number.
`read_image(path)` reads files and samples. Imports no torch.
"""

import json
import os
import re
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from distill.data.image_folders import FolderError, resolve_inside
from limbeck.shared.images.kinds import IMAGE_SUFFIXES

# A file can change twice within the resolution of its timestamp, so a recent timestamp proves nothing.
SETTLED_NS = 2_000_000_000
_MEMBER = re.compile(r"(?P<shard>.*\.tar)!(?P<first>\d+)\+(?P<size>\d+)!", re.DOTALL)


class Sample(NamedTuple):
    """`path`: of its image, relative to the root. `label`: content of its `.cls`, or `label` in its `.json`."""

    path: str
    label: str


def is_member(path: str) -> bool:
    """Whether a path denotes a sample in a shard."""
    return _MEMBER.match(path) is not None


def shard_of(path: str) -> str:
    """The shard of a sample's path; for a file, its folder."""
    match = _MEMBER.match(path)
    return match["shard"] if match else path.rpartition("/")[0]


def read_image(path: Path) -> bytes:
    """The bytes of an image, from a file or from a sample in a shard. Raises OSError."""
    match = _MEMBER.match(str(path))
    if match is None:
        return path.read_bytes()
    with open(match["shard"], "rb") as shard:
        shard.seek(int(match["first"]))
        data = shard.read(int(match["size"]))
    if len(data) < int(match["size"]):
        raise OSError(0, "the shard was truncated", match["shard"])
    return data


def file_stamp(path: Path) -> bytes | None:
    """A key of an image's path and of its file's size and modification time; None if it is missing or too recent."""
    match = _MEMBER.match(str(path))
    try:
        status = (Path(match["shard"]) if match else path).stat()
    except OSError:
        return None
    if time.time_ns() - status.st_mtime_ns < SETTLED_NS:
        return None
    from distill.data.row_cache import key_of  # imports numpy, which the API does not load at start

    return key_of(os.path.abspath(path), f"{status.st_size} {status.st_mtime_ns}")


def shards_below(folder: Path) -> list[Path]:
    """The shards directly in `folder`, by name. Raises FolderError packed_shard for compressed ones."""
    files = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    compressed = [path.name for path in files if re.search(r"\.(tar\.\w+|tgz|tbz2|txz)$", path.name)]
    if compressed:
        raise FolderError("packed_shard", f'"{compressed[0]}" is compressed: unpack it to a .tar', "/path")
    return [path for path in files if path.name.endswith(".tar") and path.is_file()]


def read_samples(shard: Path, root: Path) -> Iterator[Sample]:
    """The samples of a shard below `root`, in order; samples without an image are skipped.

    Raises FolderError bad_shard if the file is not a tar or is truncated, no_label for an image without a label.
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
                    raise tarfile.ReadError("the last member is truncated")
                member_key, suffix = _key_and_suffix(member.name)
                if member_key != key:
                    yield from _finished_sample(name, key, image, label)
                    key, image, label = member_key, "", None
                if f".{suffix}" in IMAGE_SUFFIXES and not image:
                    image = f"{name}!{member.offset_data}+{member.size}!{member.name}"
                elif suffix in ("cls", "json") and label is None:
                    label = _label(archive, member, suffix)
    except (tarfile.TarError, EOFError) as error:
        raise FolderError("bad_shard", f'"{name}" is not a tar file, or is truncated: {error}', "/path") from None
    yield from _finished_sample(name, key, image, label)


def _key_and_suffix(name: str) -> tuple[str, str]:
    folder, slash, base = name.rpartition("/")
    stem, _, suffix = base.partition(".")
    return folder + slash + stem, suffix.lower()


def _label(archive: tarfile.TarFile, member: tarfile.TarInfo, suffix: str) -> str | None:
    content = archive.extractfile(member)
    assert content is not None  # a regular file always has content
    try:
        text = content.read().decode()
        if suffix == "cls":
            return text.strip()
        fields = json.loads(text)
        return str(fields["label"]) if isinstance(fields, dict) and "label" in fields else None
    except ValueError as error:
        raise FolderError("no_label", f'"{member.name}" cannot be read: {error}', "/path") from None


def _finished_sample(shard: str, key: str, image: str, label: str | None) -> Iterator[Sample]:
    if not image:
        return
    if not label:
        raise FolderError("no_label", f'{shard}: sample "{key}" has no .cls, and no "label" in a .json', "/path")
    yield Sample(image, label)
