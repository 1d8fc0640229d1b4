"""Parquet files as label files, if pyarrow is installed (the extra `datasets`).

A data set of Hugging Face has the names of its classes in the schema; another file has them in a column.
"""

import importlib
import io
import json
from typing import Any

from limbeck.shared.label_files.tables import TableRow, table_draft
from limbeck.shared.label_files.types import LabelDraft, LabelFileError, Pairs, Value
from limbeck.shared.label_files.values import value_draft
from limbeck.shared.text import counted

_MAX_ROWS = 1_000_000


def read_parquet(data: bytes) -> LabelDraft:
    """The labels of a Parquet file. Raises LabelFileError, also if pyarrow is not installed."""
    try:
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ModuleNotFoundError:
        raise LabelFileError(
            "is a Parquet file, which needs pyarrow: install the extra `datasets`, or save the labels as CSV"
        ) from None
    try:
        file = parquet.ParquetFile(io.BytesIO(data))
        metadata = (file.schema_arrow.metadata or {}).get(b"huggingface")
        if metadata and (draft := _class_names(metadata)):
            return draft
        if file.metadata.num_rows > _MAX_ROWS:
            raise LabelFileError(f"has {counted(file.metadata.num_rows, 'row')}: give a file with one row per label")
        simple = [
            field.name for field in file.schema_arrow if not field.type.num_fields and "binary" not in str(field.type)
        ]
        rows = [TableRow([_cell(row[name]) for name in simple]) for row in file.read(columns=simple).to_pylist()]
    except (OSError, ValueError) as error:
        if isinstance(error, LabelFileError):
            raise
        raise LabelFileError(f"is a damaged Parquet file: {error}") from None
    if not rows or not simple:
        raise LabelFileError("is a Parquet file without rows or columns of text")
    return table_draft(simple, rows, f"Parquet with the columns {', '.join(simple)}")


def _class_names(metadata: bytes) -> LabelDraft | None:
    """The class names of a Hugging Face data set, or None if it has none."""
    try:
        value: Value = json.loads(metadata, object_pairs_hook=Pairs)
        return value_draft(value, "Parquet with the class names of a data set")
    except (ValueError, LabelFileError):
        return None


def _cell(value: object) -> Value:
    return value if isinstance(value, str | int | float) or value is None else str(value)
