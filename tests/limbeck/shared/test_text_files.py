"""Bytes as text: encodings, line ends, damaged text and binary files."""

import gzip
import io
import zipfile

import pytest

from tests.limbeck.shared.label_files.reading import names, read, refusal

ACCENTS = ["Käfer", "Œuvre", "naïve crane"]
TEXT = "\n".join(ACCENTS) + "\n"


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        TEXT.encode("utf-8-sig"),
        TEXT.encode("utf-16"),
        b"\xfe\xff" + TEXT.encode("utf-16-be"),
        TEXT.encode("utf-16-le"),
        TEXT.encode("utf-16-be"),
        TEXT.encode("utf-32"),
        TEXT.encode("cp1252"),
        TEXT.replace("\n", "\r\n").encode(),
        TEXT.replace("\n", "\r").encode(),
        TEXT.replace("\n", "  \n").encode() + b"\x1a",
    ],
)
def test_encodings_and_line_ends_give_the_same_labels(content: bytes) -> None:
    assert names(content) == ACCENTS


def test_what_was_assumed_is_reported() -> None:
    assert read(TEXT.encode("utf-16")).notes == ["the encoding is UTF-16"]
    assert read(TEXT.encode("utf-16-le")).notes == ["the encoding is UTF-16 without a byte order mark"]
    assert read(b"a\rb\r").notes == ["the lines end with CR, as on old Macs"]
    (warning,) = read(TEXT.encode("cp1252")).warnings
    assert warning == "the file is not UTF-8 and was read as Windows-1252: check 'Käfer'"
    assert "accents look wrong" in read("caf\u00c3\u00a9\nb").warnings[0]
    assert "lost letters" in read("caf\ufffd\nb").warnings[0]


def test_text_in_another_encoding_is_refused_with_its_line() -> None:
    assert refusal("cat\nкошка\nсобака\n".encode("cp1251")).startswith("line 2: is not UTF-8, and too many")
    assert "save it as UTF-8" in refusal("猫\n犬\n".encode("shift-jis"))
    assert refusal("Käfer\n".encode() + b"na\xefve\n") == (
        "line 2: is not UTF-8 (byte 9), while other lines are: save it as UTF-8"
    )
    assert "is damaged UTF-16" in refusal(b"\xff\xfea\x00\x00\xd8")


def _zip_of(name: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, "x")
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_zip_of("xl/workbook.xml"), "is an Excel workbook (.xlsx), not a list of labels: save the sheet as CSV"),
        (_zip_of("word/document.xml"), "is a Word document"),
        (_zip_of("content.xml"), "is an OpenDocument file"),
        (_zip_of("a.npy"), "is a NumPy archive"),
        (_zip_of("labels.txt"), "is a zip archive, not a list of labels: unpack it"),
        (b"PK\x03\x04", "is a damaged zip file"),
        (gzip.compress(b"cat", mtime=0), "is a gzip file"),
        (b"\x89PNG\r\n\x1a\n", "is a PNG image"),
        (b"\xff\xd8\xff\xe0", "is a JPEG image"),
        (b"%PDF-1.7", "is a PDF document"),
        (b"\x80\x04\x95", "is a Python pickle"),
        (b"\xd0\xcf\x11\xe0", "is an old Excel"),
        (b"labels.txt".ljust(257, b"\0") + b"ustar", "is a tar archive"),
        (bytes(range(8)) * 40, "is a binary file"),
    ],
)
def test_binary_files_are_refused_in_one_line(content: bytes, message: str) -> None:
    refused = refusal(content, "labels.csv")
    assert refused.startswith(message)
    assert "\n" not in refused


def test_a_few_control_characters_are_faults_of_their_labels() -> None:
    assert refusal("crane\nhe\x00ron\nwren\x1b\n") == (
        'line 2: label "he\\u0000ron" has a control character (U+0000); '
        'line 3: label "wren\\u001b" has a control character (U+001B)'
    )
