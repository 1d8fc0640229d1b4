"""Names of files as text: shown in one line of UTF-8, compared with labels, and kept in JSON."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limbeck.shared.images.file_names import is_utf8, json_line, name_as_text, shown_path

NAMES = st.binary(max_size=20).map(lambda data: data.decode("utf-8", "surrogateescape"))


@given(NAMES)
def test_any_name_is_shown_in_one_printable_line_and_kept_in_json(name: str) -> None:
    shown_path(name).encode()
    assert shown_path(name).isprintable()
    name_as_text(name).encode()
    line = json_line([name])
    line.encode()
    assert line.count("\n") == 1
    assert json.loads(line) == [name]


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        ("crane/é 1.jpg".encode(), "crane/é 1.jpg"),
        (b"caf\xe9.jpg", r"caf\xe9.jpg"),
        (b"a\nb\t\x1b[31m.jpg", r"a\nb\t\x1b[31m.jpg"),
        ("a\u200bb".encode(), r"a\u200bb"),
    ],
)
def test_what_cannot_be_shown_is_escaped(data: bytes, shown: str) -> None:
    assert shown_path(data.decode("utf-8", "surrogateescape")) == shown


def test_a_surrogate_of_a_json_document_is_escaped() -> None:
    assert shown_path("x\ud800") == r"x\ud800"


@pytest.mark.parametrize(("data", "text"), [(b"caf\xe9", "café"), (b"\x81\xe9", "\x81é"), ("é".encode(), "é")])
def test_a_name_that_is_not_utf8_is_read_in_a_western_encoding(data: bytes, text: str) -> None:
    name = data.decode("utf-8", "surrogateescape")
    assert name_as_text(name) == text
    assert is_utf8(name) == (name == text)
