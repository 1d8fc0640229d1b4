"""Reads the bytes of an image by its path, wherever they lie. Imports no torch.

| path | bytes |
|---|---|
| `crane/01.jpg` | a file |
| `birds-000.tar!1536+20480!0001.jpg` | a byte range of a shard (`distill.data.shards`) |
| `data/train-0.parquet!17!image` | row 17, column `image` (`distill.data.image_files.parquet_rows`) |
| `train/data-0.arrow!1536+20480!17` | a byte range of an Arrow file, which stores each value in one piece |
"""

import re
from pathlib import Path

from distill.data import shards
from distill.data.files.regular_files import read_range
from distill.data.image_files.parquet_rows import read_parquet_row

_ARROW = re.compile(r"(?P<file>.*\.(?:arrow|feather))!(?P<first>\d+)\+(?P<size>\d+)!", re.DOTALL)
_PARQUET = re.compile(r"(?P<file>.*\.parquet)!(?P<row>\d+)!(?P<column>.+)", re.DOTALL)


def arrow_member(file: str, first: int, size: int, row: int, *, file_bytes: int) -> str:
    """The path of the image in bytes `first` to `first + size` of an Arrow file; `row` is its row in the file.

    Sorted paths are in the order of the file, because `first` is padded to the width of `file_bytes`.
    """
    return f"{file}!{first:0{len(str(file_bytes))}}+{size}!{row}"


def parquet_member(file: str, row: int, column: str, *, num_rows: int) -> str:
    """The path of the image in a row and a column of a Parquet file.

    Sorted paths are in the order of the rows, because `row` is padded to the width of `num_rows`.
    """
    return f"{file}!{row:0{len(str(num_rows))}}!{column}"


def container_of(path: str) -> str | None:
    """The shard, Parquet or Arrow file that holds an image; None for an image in a single file."""
    if match := _ARROW.match(path) or _PARQUET.match(path):
        return match["file"]
    return shards.shard_of(path) if shards.is_member(path) else None


def folder_of(path: str) -> str:
    """The shard, Parquet or Arrow file that holds an image; for an image in a single file, its folder."""
    return container_of(path) or path.rpartition("/")[0]


def listed_path(path: str) -> str:
    """The path of an image as a person gives it: below a shard its member, below a Parquet or Arrow file its row."""
    if match := _PARQUET.match(path):
        return f"{match['file']}/{int(match['row'])}"
    if match := _ARROW.match(path):
        return f"{match['file']}/{path[match.end() :]}"
    return shards.listed_path(path)


def read_image(path: Path) -> bytes:
    """The bytes of an image. Raises OSError."""
    text = str(path)
    if match := _ARROW.match(text):
        return read_range(match["file"], int(match["first"]), int(match["size"]))
    if match := _PARQUET.match(text):
        return read_parquet_row(Path(match["file"]), int(match["row"]), match["column"])
    return shards.read_image(path)


def file_stamp(path: Path) -> bytes | None:
    """A key of an image's path and of the state of the file that holds it; None if it is missing or too recent."""
    match = _ARROW.match(str(path)) or _PARQUET.match(str(path))
    if match is None:
        return shards.file_stamp(path)
    stamp = shards.file_stamp(Path(match["file"]))
    if stamp is None:
        return None
    from distill.data.row_cache import key_of  # imports numpy, which the API does not load at start

    return key_of(stamp, match[0][len(match["file"]) :])
