"""The HTML report: the marks of violating words. `tests/attributes/cli/test_check_gates.py` tests a whole page."""

import pytest

from attributes.gates.reports.html_report import mark_words
from attributes.gates.types import LineViolation


@pytest.mark.parametrize(
    ("text", "words", "marked", "missing"),
    [
        ("a Loud, nocturnal bird", ("nocturnal", "loud"), "a [Loud], [nocturnal] bird", []),
        ("a light-grey tail", ("light grey",), "a [light-grey] tail", []),
        ("<b>loud</b> & louder", ("loud", "b"), "<[b]>[loud]</b> & louder", []),
        ("loudness", ("loud", "shared\x07 with 2"), "loudness", ["loud", "shared with 2"]),
        ("a long tail", ("long tail", "tail"), "a [long tail]", []),
    ],
)
def test_words_are_marked_where_they_first_occur(
    text: str, words: tuple[str, ...], marked: str, missing: list[str]
) -> None:
    result = mark_words(LineViolation("id", text, words))
    assert "".join(f"[{part}]" if is_marked else part for part, is_marked in result.parts) == marked
    assert result.missing == missing
