"""Images in rows of Parquet files: row groups are decoded once and kept in memory up to a limit. Imports no torch.

A value cannot be read alone, because a row group is compressed in pages. Neighbouring rows share a row group, and an
ordered pass reads each group once; images at random from a set beyond the limit read a group each (docs/log.md).
Threads that want the same group wait for the one that reads it. Needs pyarrow, the extra `datasets`, which is imported
when the first row is read.
"""

import importlib
import os
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from pathlib import Path
from threading import Lock
from typing import Any, Generic, TypeVar

from distill.data.files.regular_files import open_regular
from limbeck.shared.text import counted, first_line

MAX_GROUPS_BYTES = 1_000_000_000
"""Memory of the decoded row groups that are kept; the newest is kept in any case."""
NEEDS_PYARROW = "needs pyarrow: install the extra `datasets` (pip install 'limbeck[datasets]')"

ValueT = TypeVar("ValueT")


def read_parquet_row(file: Path, row: int, column: str) -> bytes:
    """The bytes in a row (from 0) and a column of binary values, or of Hugging Face images. Raises OSError."""
    status = os.stat(file)
    version = (str(file), status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    try:
        first_rows, num_rows, metadata = _FOOTERS.get(version, lambda: _footer(file))
        if row >= num_rows:
            raise OSError(0, f"has {counted(num_rows, 'row')}, and row {row:,} is not one of them", str(file))
        group = bisect_right(first_rows, row) - 1
        values = _GROUPS.get((*version, group, column), lambda: _read_group(file, metadata, group, column))
        data = values[row - first_rows[group]].as_py()
    except ModuleNotFoundError:
        raise OSError(0, NEEDS_PYARROW, str(file)) from None
    except (ValueError, KeyError) as error:  # what pyarrow raises for a damaged file
        raise OSError(0, f"cannot be read: {first_line(error)}", str(file)) from None
    if not isinstance(data, bytes):
        raise OSError(0, f"row {row:,} holds no image", str(file))
    return data


class SharedLRU(Generic[ValueT]):
    """The values of a slow function by key. The least recently used are dropped above `max_bytes`.

    Threads that want the same key wait for the first, whose exception they all get; a failed key is tried again.
    """

    def __init__(self, max_bytes: int, size_of: Callable[[ValueT], int]) -> None:
        self._max_bytes, self._size_of = max_bytes, size_of
        self._values: OrderedDict[Hashable, Future[ValueT]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, load: Callable[[], ValueT]) -> ValueT:
        """The value of a key, from `load` if it is not there."""
        with self._lock:
            future = self._values.get(key)
            is_new = future is None
            if future is None:
                future = self._values[key] = Future()
            self._values.move_to_end(key)
        if is_new:
            self._load(key, future, load)
        return future.result()

    def _load(self, key: Hashable, future: "Future[ValueT]", load: Callable[[], ValueT]) -> None:
        try:
            future.set_result(load())
        except BaseException as error:
            with self._lock:
                self._values.pop(key, None)
            future.set_exception(error)
            return
        with self._lock:
            self._evict()

    def _evict(self) -> None:
        sizes = {key: self._size_of(future.result()) for key, future in self._values.items() if future.done()}
        total = sum(sizes.values())
        for key in list(sizes)[:-1]:
            if total <= self._max_bytes:
                return
            total -= sizes[key]
            del self._values[key]


def _footer(file: Path) -> tuple[list[int], int, Any]:
    """The first row of each row group, the number of rows, and pyarrow's metadata."""
    with open_regular(file) as source:
        metadata = importlib.import_module("pyarrow.parquet").read_metadata(source)
    first_rows, start = [], 0
    for group in range(metadata.num_row_groups):
        first_rows.append(start)
        start += metadata.row_group(group).num_rows
    return first_rows, start, metadata


def _read_group(file: Path, metadata: Any, group: int, column: str) -> Any:
    """The binary values of a column in a row group."""
    parquet = importlib.import_module("pyarrow.parquet")
    with open_regular(file) as source, parquet.ParquetFile(source, metadata=metadata) as opened:
        is_image = opened.schema_arrow.field(column).type.num_fields > 0
        table = opened.read_row_group(group, columns=[f"{column}.bytes" if is_image else column], use_threads=False)
    values = table.column(0).combine_chunks()
    return values.field("bytes") if is_image else values


_FOOTERS: SharedLRU[tuple[list[int], int, Any]] = SharedLRU(10_000, lambda footer: len(footer[0]))
_GROUPS: SharedLRU[Any] = SharedLRU(MAX_GROUPS_BYTES, lambda values: int(values.nbytes))
