"""Names of the file formats of attribute sets. `attributes.formats.registry` has their readers and writers."""

from typing import Literal, get_args

DocumentFormat = Literal["json", "csv", "dclip", "cupl", "jsonl", "parquet", "huggingface"]
"""Formats of a single file, for import and export; `huggingface` is a zip archive of a folder."""

FileFormat = Literal["json", "csv", "dclip", "cupl", "jsonl", "parquet", "huggingface", "label2text", "sentences"]
"""Formats of the export; `label2text` and `sentences` are the two files of Li et al."""

ImportFormat = Literal["auto", "json", "csv", "dclip", "cupl", "jsonl", "parquet", "huggingface"]
"""Formats of the import; `auto` is recognised by the content."""

DOCUMENT_FORMATS: tuple[DocumentFormat, ...] = get_args(DocumentFormat)
BINARY_FORMATS: tuple[DocumentFormat, ...] = ("parquet", "huggingface")
