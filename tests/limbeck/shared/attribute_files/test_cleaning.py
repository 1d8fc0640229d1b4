"""White space and invisible characters of imported texts."""

import pytest

from limbeck.shared.attribute_files.cleaning import clean_text


@pytest.mark.parametrize(
    ("raw", "text", "removed"),
    [
        ("a plain text", "a plain text", {}),
        ("two\n\nlines\r\n and\ta tab", "two lines and a tab", {}),
        ("no\u00a0break\u202fspace", "no break space", {}),
        ("line\u2028separator\u2029and\u0085next", "line separator and next", {}),
        ("ideographic\u3000space", "ideographic space", {}),
        ("  trimmed  inside ", "trimmed inside", {}),
        ("zero\u200bwidth\ufeff mark", "zerowidth mark", {"Cf": 2}),
        ("soft\u00adhyphen \u200eleft", "softhyphen left", {"Cf": 2}),
        ("\u202eright to left\u202c", "right to left", {"Cf": 2}),
        ("کتاب\u200cها", "کتاب\u200cها", {}),
        ("👩\u200d🔬", "👩\u200d🔬", {}),
        ("bullet \uf0a7 item", "bullet item", {"Co": 1}),
        ("nul\0 and bell\x07", "nul and bell", {"Cc": 2}),
        ("half \ud83d", "half", {"Cs": 1}),
        ("\uffff end", "end", {"Cn": 1}),
        ("\u200b\u200d \n", "", {"Cf": 1}),
        ("“unicode” – quotes…", "“unicode” – quotes…", {}),
    ],
)
def test_a_text_becomes_one_visible_line(raw: str, text: str, removed: dict[str, int]) -> None:
    cleaned = clean_text(raw)
    assert (cleaned.text, dict(cleaned.removed), cleaned.is_changed) == (text, removed, raw != text)
    assert clean_text(text).is_changed is False
