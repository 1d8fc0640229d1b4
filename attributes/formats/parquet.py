"""Parquet, as written by pandas and Hugging Face `datasets`: one row per line of a label, in the columns of CSV. Tables
with a column of labels and a column of texts are read too (`attributes.formats.tables`).

Needs pyarrow (`pip install limbeck[datasets]`), which is imported only when a file is read or written.
"""

import importlib
import io
import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from attributes.formats.common import FormatError, Reading
from attributes.formats.tables import COLUMNS, Row, line_rows, read_rows
from attributes.types import Entry

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS_PER_GROUP = 10_000


def write_parquet(entries: Iterable[Entry]) -> bytes:
    """The file, which `read_parquet` reads. Raises FormatError without pyarrow."""
    pa, parquet = arrow_library(), arrow_library("parquet")

    schema = pa.schema([(name, pa.bool_() if name == "locked" else pa.string()) for name in COLUMNS])
    out = io.BytesIO()
    with parquet.ParquetWriter(out, schema) as writer:
        rows: list[dict[str, str | bool | None]] = []
        for entry in entries:
            rows += line_rows(entry)
            if len(rows) >= _ROWS_PER_GROUP:
                writer.write_table(pa.Table.from_pylist(rows, schema))
                rows = []
        writer.write_table(pa.Table.from_pylist(rows, schema))
    return out.getvalue()


def read_parquet(content: bytes, reading: Reading | None = None) -> list[Entry]:
    """The entries of a file. Raises FormatError with all faults, or without pyarrow."""
    reading = reading or Reading()
    reading.report.read_as = "Parquet"
    entries = read_rows(((None, row) for row in parquet_rows(content)), reading)
    reading.close()
    return entries


def parquet_rows(content: bytes) -> Iterator[Row]:
    """The rows of a file, with the names of Hugging Face's class labels for their numbers. Raises FormatError."""
    pa, parquet = arrow_library(), arrow_library("parquet")

    try:
        table = parquet.read_table(io.BytesIO(content))
    except (pa.ArrowException, OSError) as error:
        raise FormatError(f"is not Parquet: {str(error).splitlines()[0]}") from None
    return table_rows(table)


def table_rows(table: "pa.Table") -> Iterator[Row]:
    """The rows of an Arrow table, with names for class labels."""
    names = _class_names(table.schema.metadata or {})
    for batch in table.to_batches(max_chunksize=_ROWS_PER_GROUP):
        for row in batch.to_pylist():
            for column, of_number in names.items():
                number = row.get(column)
                if isinstance(number, int):
                    row[column] = of_number[number] if 0 <= number < len(of_number) else None
            yield row


def arrow_library(module: str = "") -> Any:
    """The library pyarrow, or a module of it. Raises FormatError that names the extra."""
    try:
        return importlib.import_module(f"pyarrow.{module}" if module else "pyarrow")
    except ImportError:
        raise FormatError("Parquet needs the library pyarrow: pip install 'limbeck[datasets]'") from None


def _class_names(metadata: dict[bytes, bytes]) -> dict[str, list[str]]:
    """The names of each column of class labels, from the metadata that `datasets` writes."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    return {
        column: feature["names"]
        for column, feature in features.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and isinstance(feature.get("names"), list)
    }
