"""The text of an attribute file, and the binary formats that are no text (`limbeck.shared.text_files`)."""

from limbeck.shared import text_files
from limbeck.shared.attribute_files.reading import FormatError
from limbeck.shared.format_names import DocumentFormat


def binary_format(content: bytes) -> DocumentFormat | None:
    """The binary format of attribute files that the content begins like, or None."""
    if content.startswith(text_files.PARQUET_MAGIC):
        return "parquet"
    return "huggingface" if content.startswith(b"PK\x03\x04") else None


def decode(content: bytes) -> tuple[str, str]:
    """(text without a byte order mark, name of the encoding). Raises FormatError for a file that is not text."""
    try:
        decoded = text_files.decode(content, expected="a text with attributes")
    except text_files.TextFileError as error:
        raise FormatError(error.detail, line=error.line) from None
    return decoded.text, decoded.encoding
