"""Rows of Parquet files: right bytes from many threads, bounded memory, changed and damaged files named."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from distill.data.image_files.parquet_rows import SharedLRU, read_parquet_row

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

IMAGES = [bytes([number]) * (100 + number) for number in range(50)]


def write(file: Path, images: list[bytes | None] = IMAGES, *, struct: bool = True, group: int = 7) -> Path:  # type: ignore[assignment]
    values: list[Any] = [{"bytes": image, "path": f"{at}.png"} for at, image in enumerate(images)] if struct else images
    pq.write_table(pa.table({"other": list(range(len(images))), "image": values}), file, row_group_size=group)
    return file


@pytest.mark.parametrize("struct", [True, False])
def test_rows_are_read_by_many_threads(tmp_path: Path, struct: bool) -> None:
    file = write(tmp_path / "x.parquet", struct=struct)
    rows = [*range(50), *reversed(range(50))] * 3
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda row: read_parquet_row(file, row, "image"), rows)) == [IMAGES[row] for row in rows]


def test_replaced_file_is_read_again(tmp_path: Path) -> None:
    file = write(tmp_path / "x.parquet")
    assert read_parquet_row(file, 3, "image") == IMAGES[3]
    os.replace(write(tmp_path / "y.parquet", [b"new"] * 4), file)
    assert read_parquet_row(file, 3, "image") == b"new"
    with pytest.raises(OSError, match="has 4 rows, and row 4 is not one of them"):
        read_parquet_row(file, 4, "image")


def test_unreadable_rows_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "x.parquet", [b"a", None])
    with pytest.raises(OSError, match="row 1 holds no image"):
        read_parquet_row(file, 1, "image")
    with pytest.raises(OSError, match="cannot be read"):
        read_parquet_row(file, 0, "picture")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no footer PAR1")
    with pytest.raises(OSError, match="cannot be read"):
        read_parquet_row(tmp_path / "bad.parquet", 0, "image")
    with pytest.raises(FileNotFoundError):
        read_parquet_row(tmp_path / "none.parquet", 0, "image")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(OSError, match="install the extra `datasets`"):
        read_parquet_row(write_copy(file, tmp_path), 0, "image")


def write_copy(file: Path, folder: Path) -> Path:
    (folder / "copy.parquet").write_bytes(file.read_bytes())
    return folder / "copy.parquet"


def test_cache_is_bounded_and_keeps_the_newest() -> None:
    cache: SharedLRU[bytes] = SharedLRU(100, len)
    loads: list[str] = []

    def get(key: str, size: int) -> bytes:
        def load() -> bytes:
            loads.append(key)
            return key.encode() * size

        return cache.get(key, load)

    for key, size in (("a", 40), ("b", 40), ("a", 40), ("c", 40), ("a", 40), ("b", 40), ("d", 500), ("d", 500)):
        assert get(key, size) == key.encode() * size
    assert loads == ["a", "b", "c", "b", "d"]


def test_threads_wait_for_one_load_and_a_failure_is_tried_again() -> None:
    cache: SharedLRU[int] = SharedLRU(100, lambda _: 1)
    begun, proceed, loads = threading.Event(), threading.Event(), []

    def load() -> int:
        loads.append(1)
        begun.set()
        proceed.wait(5)
        return 7

    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(cache.get, "key", load) for _ in range(4)]
        begun.wait(5)
        proceed.set()
        assert [future.result() for future in futures] == [7] * 4
    assert len(loads) == 1

    def fail() -> int:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        cache.get("other", fail)
    assert cache.get("other", lambda: 8) == 8
