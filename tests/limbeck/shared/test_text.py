"""Errors of libraries in one line."""

import pytest

from limbeck.shared.text import first_line


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("damaged\nat byte 3\n", "damaged"),
        ("\n  Error(s) in loading CLIP:\n\tsize mismatch\n\tmore", "Error(s) in loading CLIP: size mismatch"),
        ("", "ValueError"),
        ("x" * 1000, "x" * 300),
    ],
)
def test_first_line_of_an_error(message: str, expected: str) -> None:
    assert first_line(ValueError(message)) == expected
