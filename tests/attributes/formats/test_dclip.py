"""DCLIP's JSON: keys are unique, errors name the line, and the published file is read and written unchanged."""

import json
from pathlib import Path

import pytest

from attributes.formats.common import FormatError
from attributes.formats.dclip import read_dclip, write_dclip
from tests.attributes.formats.examples import BIRD, MACHINE, PLAIN


def test_labels_with_the_same_name_are_written_with_their_senses() -> None:
    content = json.loads(write_dclip([BIRD, MACHINE, PLAIN]))
    assert content == {"crane (bird)": ["a long neck"], "crane (machine)": [], "colt's foot": ['a "quoted" thing\\']}
    with pytest.raises(FormatError, match="is in the set twice"):
        write_dclip([BIRD, BIRD])


def test_a_set_without_phrases_is_refused() -> None:
    with pytest.raises(FormatError, match="no label has a line of kind phrase"):
        write_dclip([MACHINE])


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ('{"a": ["x"],\n"a": ["y"]}', 2, "'a' is duplicated"),
        ('{"a": ["x"],\n"A": ["y"]}', 2, 'label "A" is also on line 1'),
        ('{"a": ["x"],\n"b": true}', 2, "must have a list of texts, not true or false"),
        ('{"a": ["x"],\n"b": [7]}', 2, "must have a list"),
        ('{"a": ["x"],\n"": ["y"]}', 2, "is blank"),
        ('["a"]', None, "must be a JSON object"),
        ('{"a": ["x"],\n"b": ["y",]}', 2, "a comma stands before the closing bracket"),
        ('{"a": ["x"],\n"b": [NaN]}', 2, "NaN is no JSON value"),
        ('{"a": ["x"],\n"b": ["y"', 2, "the file ends in the middle"),
        ('{"a": ["x"],\n"b": ["y', 2, "the file is incomplete"),
        ('{"a": ["x"], // comment\n"b": []}', 1, "it has a comment"),
        ("{'a': ['x']}", 1, "Python literal"),
        ("", 1, "the file is empty"),
        ('{"a": ["x"],\n', 2, "is not JSON"),
    ],
)
def test_errors_in_a_damaged_file_name_the_line(text: str, line: int | None, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        read_dclip(text)
    assert message in str(caught.value)
    assert caught.value.line == line


def test_the_published_file_is_written_back_unchanged(dclip_cub: Path) -> None:
    text = dclip_cub.read_text(encoding="utf-8")
    entries = read_dclip(text)
    assert len(entries) == 200
    assert json.loads(write_dclip(entries)) == json.loads(text)
    assert list(json.loads(write_dclip(entries))) == list(json.loads(text))
