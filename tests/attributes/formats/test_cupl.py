"""CuPL's JSON: sentences are read as answers and written back unchanged."""

import json

import pytest

from attributes.formats.common import FormatError
from attributes.formats.cupl import read_cupl, write_cupl
from tests.attributes.formats.examples import BIRD, MACHINE


def test_sentences_are_read_as_answers_and_written_back() -> None:
    text = json.dumps({"crane": ["A crane is tall.", "It is grey."], "ibis": []}, indent=4) + "\n"
    crane, ibis = read_cupl(text)
    assert [(line.kind, line.text, line.origin) for line in crane.lines] == [
        ("answer", "A crane is tall.", "import"),
        ("answer", "It is grey.", "import"),
    ]
    assert ibis.lines == ()
    assert write_cupl([crane, ibis]) == text
    with pytest.raises(FormatError, match='line 2: "ibis" must have a list of texts, not a number'):
        read_cupl('{"crane": ["a"],\n"ibis": 7}')


def test_a_set_without_answers_is_refused() -> None:
    with pytest.raises(FormatError, match="no label has a line of kind answer"):
        write_cupl([BIRD, MACHINE])
