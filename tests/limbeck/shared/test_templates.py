"""The templates of a label's texts."""

import pytest

from limbeck.shared.templates import render_line


@pytest.mark.parametrize(
    ("kind", "rendered"),
    [
        ("sentence", "a photo of grey crane . a red crown."),
        ("answer", "a photo of grey crane . a red crown."),
        ("caption", "a photo of grey crane . a red crown."),
        ("phrase", "a photo of grey crane, which has a red crown"),
        ("contrast", "a photo of grey crane, which has a red crown"),
    ],
)
def test_a_line_is_rendered_with_its_label_on_one_line(kind: str, rendered: str) -> None:
    assert render_line(" grey \n crane", kind, "a  red\tcrown.") == rendered
