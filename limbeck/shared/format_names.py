"""Names of the file formats of attribute sets. `attributes.formats.registry` has their readers and writers."""

from typing import Literal, get_args

DocumentFormat = Literal["json", "csv", "dclip", "cupl"]
"""Formats of a single file, for import and export."""

FileFormat = Literal["json", "csv", "dclip", "cupl", "label2text", "sentences"]
"""Formats of the export; `label2text` and `sentences` are the two files of Li et al."""

DOCUMENT_FORMATS: tuple[DocumentFormat, ...] = get_args(DocumentFormat)
