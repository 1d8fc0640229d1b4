"""Rows of Parquet and Arrow files with images: where the image of each row lies, and its other columns. No torch.

Of the images no byte is read: a row of a Parquet file is found by its number, an image in an Arrow file by its byte
range, because Arrow stores the values of a column one after the other.
"""

import mmap
from collections.abc import Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from distill.data.files.regular_files import open_regular
from distill.data.image_files.location import arrow_member, parquet_member
from distill.data.image_files.parquet_rows import MAX_GROUPS_BYTES
from distill.data.image_folders import FolderError
from distill.data.layouts.tables.rows import SAMPLE_ROWS, ParsedRow, arrow_library
from limbeck.shared.text import first_line


class ImageRow(NamedTuple):
    """A row. `path`: of the image inside the file; None if the file has only its `name`, or no image (`name` None)."""

    path: str | None
    name: str | None
    cells: Sequence[object]


class ImageTable(Protocol):
    """An open file. `schema` is pyarrow's."""

    schema: Any

    def sample(self, columns: Sequence[str]) -> list[ParsedRow]:
        """The first rows of these columns."""

    def rows(self, image: str, columns: Sequence[str]) -> Iterator[ImageRow]:
        """All rows: the image and these columns."""


def open_table(file: Path, name: str) -> ImageTable:
    """A Parquet or Arrow file. Raises FolderError bad_table or needs_pyarrow."""
    arrow = arrow_library("pyarrow", name)
    try:
        return _Parquet(file, name, arrow) if name.lower().endswith(".parquet") else _Arrow(file, name, arrow)
    except (OSError, ValueError) as error:
        detail = f"{name} is damaged, or no data set of images: {first_line(error)}"
        raise FolderError("bad_table", detail, "/images/file") from None


def _mapped(file: Path, arrow: Any) -> Any:
    with open_regular(file) as source:
        return arrow.py_buffer(mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ))


class _Parquet:
    def __init__(self, file: Path, name: str, arrow: Any) -> None:
        reader = arrow.BufferReader(_mapped(file, arrow))
        self._file = arrow_library("pyarrow.parquet", name).ParquetFile(reader)
        self._name, self.schema = name, self._file.schema_arrow

    def sample(self, columns: Sequence[str]) -> list[ParsedRow]:
        batch = next(self._file.iter_batches(SAMPLE_ROWS, columns=list(columns)), None)
        return [] if batch is None else _sample(batch, columns)

    def rows(self, image: str, columns: Sequence[str]) -> Iterator[ImageRow]:
        number, num_rows = count(), self._file.metadata.num_rows
        for group in range(self._file.metadata.num_row_groups):
            in_file, names = self._images(group, image)
            table = self._file.read_row_group(group, columns=list(columns), use_threads=False)
            cells = [table.column(name).to_pylist() for name in columns]
            for at in range(len(in_file)):
                row, values = next(number), [column[at] for column in cells]
                path = parquet_member(self._name, row, image, num_rows=num_rows) if in_file[at] else None
                yield ImageRow(path, names[at], values)

    def _images(self, group: int, image: str) -> tuple[Sequence[bool], Sequence[str | None]]:
        """Whether each row of a group has the bytes of its image, and the name of the image if it has not."""
        info = self._file.metadata.row_group(group)
        is_struct = self.schema.field(image).type.num_fields > 0
        path = f"{image}.bytes" if is_struct else image
        chunk = next(info.column(at) for at in range(info.num_columns) if info.column(at).path_in_schema == path)
        if chunk.total_uncompressed_size > MAX_GROUPS_BYTES:
            size_gb = chunk.total_uncompressed_size / 1e9
            detail = (
                f"{self._name} has a row group of {size_gb:.1f} GB, which must be read whole for each image: "
                "write it with row_group_size=100"
            )
            raise FolderError("bad_table", detail, "/images/file")
        statistics = chunk.statistics
        if statistics is not None and statistics.has_null_count and statistics.null_count == 0:
            return [True] * info.num_rows, [None] * info.num_rows
        names: Sequence[str | None] = [None] * info.num_rows
        if is_struct:
            paths = self._file.read_row_group(group, columns=[f"{image}.path"], use_threads=False).column(0)
            names = [value and value.get("path") for value in paths.to_pylist()]
        if statistics is not None and statistics.has_null_count and statistics.null_count == info.num_rows:
            return [False] * info.num_rows, names
        values = self._file.read_row_group(group, columns=[path], use_threads=False).column(0).combine_chunks()
        return (values.field("bytes") if is_struct else values).is_valid().to_pylist(), names


class _Arrow:
    def __init__(self, file: Path, name: str, arrow: Any) -> None:
        self._name, self._arrow = name, arrow
        self._bytes = _mapped(file, arrow)
        is_file = self._bytes.slice(0, 6).to_pybytes() == b"ARROW1"
        reader = (arrow.ipc.open_file if is_file else arrow.ipc.open_stream)(arrow.BufferReader(self._bytes))
        self._table, self.schema = reader.read_all(), reader.schema

    def sample(self, columns: Sequence[str]) -> list[ParsedRow]:
        return _sample(self._table.select(list(columns)).slice(0, SAMPLE_ROWS), columns)

    def rows(self, image: str, columns: Sequence[str]) -> Iterator[ImageRow]:
        number = count()
        for batch in self._table.select([image, *columns]).to_batches():
            cells = [batch.column(name).to_pylist() for name in columns]
            for at, (place, name) in enumerate(self._images(batch.column(image))):
                row = next(number)
                path = None if place is None else arrow_member(self._name, *place, row, file_bytes=self._bytes.size)
                yield ImageRow(path, name, [column[at] for column in cells])

    def _images(self, values: Any) -> Iterator[tuple[tuple[int, int] | None, str | None]]:
        """First byte and size of each image of a batch, None if its bytes are not in the file; and its name."""
        is_struct = values.type.num_fields > 0
        data = values.field("bytes") if is_struct else values
        names = values.field("path").to_pylist() if is_struct else [None] * len(values)
        is_there = [a and b for a, b in zip(values.is_valid().to_pylist(), data.is_valid().to_pylist(), strict=True)]
        starts, first = self._starts(data)
        for at, has_bytes in enumerate(is_there):
            if has_bytes:
                start, end = starts[data.offset + at], starts[data.offset + at + 1]
                yield (first + start, end - start), None
            else:
                yield None, names[at]

    def _starts(self, data: Any) -> tuple[memoryview, int]:
        """The offsets of binary values, and the position of the first byte of all in the file."""
        formats: dict[Any, Literal["i", "q"]] = {self._arrow.binary(): "i", self._arrow.large_binary(): "q"}
        _, offsets, content = [*data.buffers(), None, None][:3]
        if data.type not in formats:
            detail = f"{self._name} stores images as {data.type}: save the data set again with the library datasets"
            raise FolderError("bad_table", detail, "/images/file")
        if content is None or offsets is None:
            return memoryview(bytes(8 * (len(data) + data.offset + 1))).cast(formats[data.type]), 0
        first = content.address - self._bytes.address
        if not 0 <= first <= self._bytes.size:
            detail = f"{self._name} is compressed: save the data set again without compression, or as Parquet"
            raise FolderError("bad_table", detail, "/images/file")
        return memoryview(offsets).cast("B").cast(formats[data.type]), first


def _sample(batch: Any, columns: Sequence[str]) -> list[ParsedRow]:
    cells = [batch.column(name).to_pylist() for name in columns]
    return [ParsedRow(number, row) for number, row in enumerate(islice(zip(*cells, strict=True), SAMPLE_ROWS), start=1)]
