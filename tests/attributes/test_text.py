"""Cleaning of short untrusted texts."""

import pytest

from attributes.text import database_safe, has_content
from limbeck.shared.text import clean


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("  a\t long\n\n neck ", "a long neck"),
        ("cafe\u0301", "caf\u00e9"),
        ("a\x07b\u202ec", "abc"),
        ("\u0915\u094d\u200d\u0937", "\u0915\u094d\u200d\u0937"),  # the zero-width joiner is part of the spelling
        ("abcdefghijk", "abcdefgh"),
        ("abcdefg hijk", "abcdefg"),
    ],
)
def test_clean(text: str, cleaned: str) -> None:
    assert clean(text, max_chars=max(8, len(cleaned))) == cleaned


def test_database_safe_removes_nul_and_lone_surrogates() -> None:
    assert database_safe("a\0b\ud800c", max_chars=10) == "ab?c"
    assert database_safe("abc", max_chars=2) == "ab"


def test_has_content() -> None:
    assert has_content(" 7. ")
    assert not has_content(" . ")
