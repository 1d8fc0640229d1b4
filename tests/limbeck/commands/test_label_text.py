"""The editable text of a label."""

import pytest

from limbeck.commands import label_text
from limbeck.commands.common import BadInput


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("  text: x\n", "line 1: a field without a `kind` line"),
        ("phrase\n  text: x\n  text: y\n", "line 3: a second text"),
        ("phrase\n  colour: x\n", "line 2: 'colour: x' is neither"),
        ("poem [0123456789ab]\n", "line 1"),
    ],
)
def test_an_invalid_text_names_the_line(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message.replace("[", r"\[")):
        label_text.parse_lines(text)
