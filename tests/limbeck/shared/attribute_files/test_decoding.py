"""Encodings of text files, and files that are no text."""

import codecs
import gzip

import pytest

from limbeck.shared.attribute_files.decoding import binary_format, decode
from limbeck.shared.attribute_files.reading import FormatError

TEXT = '{"crane": ["a café-grey back – with “black” tips"]}\n'


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (TEXT.encode(), "UTF-8"),
        (codecs.BOM_UTF8 + TEXT.encode(), "UTF-8"),
        (TEXT.encode("utf-16"), "UTF-16"),
        (codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), "UTF-16"),
        (TEXT.encode("utf-16-le"), "UTF-16"),
        (TEXT.encode("utf-16-be"), "UTF-16"),
        (TEXT.encode("utf-32"), "UTF-32"),
        (TEXT.encode("cp1252"), "Windows-1252"),
    ],
)
def test_each_encoding_gives_the_same_text(content: bytes, encoding: str) -> None:
    assert decode(content) == (TEXT, encoding)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(b"{}", mtime=0), "is a gzip archive; unpack it"),
        (b"\x89PNG\r\n\x1a\n", "is a PNG image"),
        (b"PK\x03\x04...", "Excel workbook"),
        (b"\0\1\2 pickled", "is a binary file"),
        (b"PAR1....", "choose the format parquet"),
        ("größe, länge".encode() + b"\xe9", "is UTF-8 with 1 damaged bytes, the first at byte 15"),
        (b"a\nb\x81c", "line 2: is neither UTF-8 nor Windows-1252"),
        (codecs.BOM_UTF16_LE + b"a\0b", "is not valid UTF-16"),
    ],
)
def test_other_files_are_refused_with_the_reason(content: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        decode(content)


def test_binary_formats_are_known_by_their_first_bytes() -> None:
    assert [binary_format(head) for head in (b"PAR1", b"PK\x03\x04", b"{}")] == ["parquet", "huggingface", None]
