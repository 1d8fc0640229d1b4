"""Images in WebDataset shards: tar files whose members with the same key form a sample (`0001.jpg`, `0001.cls`).

The path of a sample's image encodes its position: `birds-000.tar!1536+20480!0001.jpg` is shard, first byte, number of
bytes, member. Such a path is valid wherever an image path is, so shards are read in place like class folders, by byte
range: each rank and thread reads only the bytes it needs, and the samples of a step stay a function of its number.
`read_image(path)` reads files and samples; `distill.data.layouts.webdataset` lists the samples. Imports no torch.
"""

import os
import posixpath
import re
from pathlib import Path

from distill.data.files.regular_files import read_range, read_regular, version_of

_MEMBER = re.compile(r"(?P<shard>.*?\.tar)!(?P<first>\d+)\+(?P<size>\d+)!", re.DOTALL)


def is_member(path: str) -> bool:
    """Whether a path denotes a sample in a shard."""
    return _MEMBER.match(path) is not None


def shard_of(path: str) -> str:
    """The shard of a sample's path; for a file, its folder."""
    match = _MEMBER.match(path)
    return match["shard"] if match else path.rpartition("/")[0]


def listed_path(path: str) -> str:
    """The path of an image as a person gives it: for a sample, the shard, a slash and the member."""
    match = _MEMBER.match(path)
    return f"{match['shard']}/{posixpath.normpath(path[match.end() :])}" if match else path


def read_image(path: Path) -> bytes:
    """The bytes of an image, from a file or from a sample in a shard. Raises OSError."""
    match = _MEMBER.match(str(path))
    if match is None:
        return read_regular(path)
    return read_range(match["shard"], int(match["first"]), int(match["size"]))


def file_stamp(path: Path) -> bytes | None:
    """A key of an image's path and of the version of its file; None if it is missing or changed too recently."""
    match = _MEMBER.match(str(path))
    version = version_of(match["shard"] if match else path)
    if version is None:
        return None
    from distill.data.row_cache import key_of  # imports numpy, which the API does not load at start

    return key_of(os.path.abspath(path), version)
