"""The text of a file: UTF-8 or UTF-16 with or without a byte order mark, UTF-32 with one, or Windows-1252."""

import codecs

from limbeck.shared.attribute_files.reading import FormatError
from limbeck.shared.format_names import DocumentFormat

_MARKS = (
    (codecs.BOM_UTF8, "utf-8", "UTF-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32-be", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16-le", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16-be", "UTF-16"),
)
_OTHER_FILES = {
    b"PAR1": "a Parquet file; choose the format parquet",
    b"PK\x03\x04": "a zip archive or an Excel workbook; unpack it, or save the sheet as CSV UTF-8",
    b"\x1f\x8b": "a gzip archive; unpack it",
    b"BZh": "a bzip2 archive; unpack it",
    b"\xfd7zXZ": "an xz archive; unpack it",
    b"(\xb5/\xfd": "a zstd archive; unpack it",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"%PDF": "a PDF; save its text",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook; save the sheet as CSV UTF-8",
    b"SQLite format": "an SQLite database",
    b"ARROW1": "an Arrow file; choose the format parquet or huggingface",
    b"version https://git-lfs.github.com/": "a pointer of Git LFS, not the file: run `git lfs pull`, or download it",
    b"404: Not Found": "the error page of a server, not the file; download it again",
}


def binary_format(content: bytes) -> DocumentFormat | None:
    """The binary format of attribute files that the content begins like, or None."""
    return "parquet" if content.startswith(b"PAR1") else "huggingface" if content.startswith(b"PK\x03\x04") else None


def decode(content: bytes) -> tuple[str, str]:
    """(text without a byte order mark, name of the encoding). Raises FormatError for a file that is not text."""
    for magic, name in _OTHER_FILES.items():
        if content.startswith(magic):
            raise FormatError(f"is {name}")
    for mark, codec, name in _MARKS:
        if content.startswith(mark):
            return _strictly(content[len(mark) :], codec, name), name
    if (unmarked := _unmarked_utf16(content)) is not None:
        return _strictly(content, unmarked, "UTF-16"), "UTF-16"
    if sum(byte < 9 for byte in content[:1000]) > 0.05 * len(content[:1000]):
        raise FormatError("is a binary file, not text")
    try:
        return content.decode("utf-8"), "UTF-8"
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        position = error.start
    escaped = content.decode("utf-8", "surrogateescape")
    num_invalid = sum("\udc80" <= character <= "\udcff" for character in escaped)
    num_valid = sum(character > "\x7f" for character in escaped) - num_invalid
    if num_valid > num_invalid:
        raise FormatError(
            f"is UTF-8 with {num_invalid} damaged bytes, the first at byte {position}; correct them", line=line
        )
    try:
        return content.decode("cp1252"), "Windows-1252"
    except UnicodeDecodeError:
        raise FormatError(f"is neither UTF-8 nor Windows-1252 (byte {position}); save it as UTF-8", line=line) from None


def _unmarked_utf16(content: bytes) -> str | None:
    """The byte order, if every second byte of the beginning is zero, as in UTF-16 of Latin text."""
    head = content[:200]
    even, odd = head[::2], head[1::2]
    if len(head) < 4 or len(content) % 2:
        return None
    if odd.count(0) > 0.7 * len(odd) and not even.count(0):
        return "utf-16-le"
    return "utf-16-be" if even.count(0) > 0.7 * len(even) and not odd.count(0) else None


def _strictly(content: bytes, codec: str, name: str) -> str:
    try:
        return content.decode(codec)
    except UnicodeDecodeError as error:
        raise FormatError(f"is not valid {name} (byte {error.start}); save it as UTF-8") from None
