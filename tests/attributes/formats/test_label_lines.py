"""Plain text with one label per line."""

import pytest

from attributes.formats.common import FormatError
from attributes.formats.label_lines import read_label_lines
from attributes.types import Label


def test_read_label_lines() -> None:
    assert read_label_lines("\ufeffcrane\tbird\ncrane\ta machine\n wren ") == [
        Label("crane", "bird"),
        Label("crane", "a machine"),
        Label("wren"),
    ]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", None, "has no labels"),
        ("a\n\nb\n", 2, "is blank"),
        ("a\tbird\nb\nA\n", 3, 'label "A" is also on line 1; give each a sense'),
        ("a\nA\n", 2, 'label "A" is also on line 1; give each a sense'),
        ("a\nb\x1bc\n", 2, "control character (U+001B)"),
        ("a\n" + "b" * 201, 2, "has 201 characters; at most 200"),
        ("a\nb\t" + "c" * 501, 2, "the sense of label"),
    ],
)
def test_errors_in_label_lines_name_the_line(text: str, line: int | None, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        read_label_lines(text)
    assert message in str(caught.value)
    assert caught.value.line == line
