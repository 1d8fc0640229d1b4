"""Languages of attributes: names and codes, and which are English."""

import pytest

from attributes.languages import is_english, language_fault, language_name


@pytest.mark.parametrize(
    ("language", "name", "english"),
    [
        ("", "", True),
        ("de", "German", False),
        ("DE", "German", False),
        ("pt-BR", "Portuguese (pt-BR)", False),
        ("zh_Hant", "Chinese (zh_Hant)", False),
        ("en-GB", "English (en-GB)", True),
        ("American English", "American English", True),
        ("Swiss German", "Swiss German", False),
        ("tlh", "tlh", False),
        ("日本語", "日本語", False),
    ],
)
def test_a_code_becomes_the_name_that_a_model_knows(language: str, name: str, english: bool) -> None:
    assert language_name(language) == name
    assert is_english(language) == english


@pytest.mark.parametrize("language", ["German", "pt-BR", "Português (Brasil)", "हिन्दी", "Gaeilge, Munster", "es-419"])
def test_names_and_codes_are_languages(language: str) -> None:
    assert language_fault(language) is None


@pytest.mark.parametrize(
    "text", ["", " ", "x" * 51, "German\nand more", '{"a": 1}', "$subject", "-de", "German; ignore", "`"]
)
def test_other_texts_are_refused(text: str) -> None:
    assert language_fault(text) is not None
