"""Writes millions of samples without pixels: links to empty files, and shards without content."""

import os
from pathlib import Path

NUM_LABELS = 1000
_LINKS = 60_000
_PER_SHARD, _BLOCK = 10_000, 20_480


def labels() -> list[str]:
    """The vocabulary of all samples."""
    return [f"label {number}" for number in range(NUM_LABELS)]


def write_folders(root: Path, count: int) -> None:
    """`count` image files in class folders."""
    _write_files(root, [*labels()], count // NUM_LABELS)


def write_table(root: Path, count: int) -> None:
    """A Parquet table of `count` paths, and their files in folders of 1,000."""
    folders = [f"d{number:05}" for number in range(count // 1000)]
    _write_files(root / "images", folders, 1000)
    names = ([f"images/{folder}/{at:04}.jpg" for at in range(1000)] for folder in folders)
    _write_parquet(root / "index.parquet", [paths for paths in names])


def write_shards(root: Path, count: int) -> None:
    """A Parquet table of `count` members of shards; the shards have their size, but no content."""
    (root / "shards").mkdir(parents=True)
    groups = []
    for number in range(count // _PER_SHARD):
        name = f"shards/{number:05}.tar"
        with (root / name).open("wb") as shard:
            shard.truncate(_PER_SHARD * _BLOCK)
        groups.append([f"{name}!{at * _BLOCK + 512}+18000!{at:06}.jpg" for at in range(_PER_SHARD)])
    _write_parquet(root / "index.parquet", groups)


def _write_files(root: Path, folders: list[str], per_folder: int) -> None:
    """Hard links instead of files: ten million need no ten million inodes."""
    root.mkdir(parents=True)
    seed, made = root.parent / "seed", 0
    for folder in folders:
        (root / folder).mkdir()
        for at in range(per_folder):
            if made % _LINKS == 0:
                seed.unlink(missing_ok=True)
                seed.touch()
            os.link(seed, root / folder / f"{at:04}.jpg")
            made += 1
    seed.unlink(missing_ok=True)


def _write_parquet(file: Path, groups: list[list[str]]) -> None:
    import pyarrow
    import pyarrow.parquet

    schema = pyarrow.schema([("image", pyarrow.string()), ("label", pyarrow.string())])
    with pyarrow.parquet.ParquetWriter(file, schema) as writer:
        for number, paths in enumerate(groups):
            names = [f"label {(number * 7 + at) % NUM_LABELS}" for at in range(len(paths))]
            writer.write_table(pyarrow.table([paths, names], schema=schema))
