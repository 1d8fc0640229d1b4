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
        (gzip.compress(b"{}", mtime=0), "is a gzip file, not a text with attributes: unpack it"),
        (b"\x89PNG\r\n\x1a\n", "is a PNG image"),
        (b"PK\x03\x04...", "is a damaged zip file"),
        (b"\0\1\2 pickled", "is a binary file"),
        (b"PAR1....", "is a Parquet file"),
        ("größe, länge".encode() + b"\xe9", r"line 1: is not UTF-8 \(byte 15\), while other lines are"),
        ("Ёж и кот".encode("cp1251"), "too many letters are not ASCII for Windows-1252"),
        (codecs.BOM_UTF16_LE + b"a\0b", "is damaged UTF-16 text"),
    ],
)
def test_other_files_are_refused_with_the_reason(content: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        decode(content)


def test_binary_formats_are_known_by_their_first_bytes() -> None:
    assert [binary_format(head) for head in (b"PAR1", b"PK\x03\x04", b"{}")] == ["parquet", "huggingface", None]
