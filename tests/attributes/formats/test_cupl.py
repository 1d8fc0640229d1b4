"""CuPL's JSON: sentences are read as answers and written back unchanged."""

import json
from pathlib import Path

import pytest

from attributes.formats.common import FormatError, Reading
from attributes.formats.cupl import read_cupl, write_cupl
from attributes.formats.registry import detect_format
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


def test_the_published_file_is_read_with_its_inner_newline(cupl_pets: Path) -> None:
    text, reading = cupl_pets.read_text(encoding="utf-8"), Reading()
    entries = read_cupl(text, reading)
    assert detect_format(text) == "cupl"
    published = json.loads(text)
    assert [(entry.label, len(entry.lines)) for entry in entries] == [(k, len(v)) for k, v in published.items()]
    assert all(line.text == " ".join(line.text.split()) for entry in entries for line in entry.lines)
    changed = sum(text != " ".join(text.split()) for texts in published.values() for text in texts)
    assert reading.report.normalized_texts == changed > 0
    assert (reading.report.dropped_characters, reading.report.empty_texts) == (0, 0)


def test_questions_of_texts_are_kept() -> None:
    long = "A crane is a tall grey bird with a long neck and long legs."
    (crane,) = read_cupl(json.dumps({"crane": {"What is a crane like?": [long, long]}}))
    assert [(line.kind, line.about) for line in crane.lines] == [("answer", "What is a crane like?")] * 2


def test_one_text_per_label_is_its_sentence() -> None:
    (crane,) = read_cupl('{"crane": "A tall grey bird."}')
    assert crane.sentence == "A tall grey bird."


def test_texts_about_other_labels_are_contrasts() -> None:
    crane, _ = read_cupl('{"crane": {"ibis": ["a straight bill"]}, "ibis": {"crane": ["a bent bill"]}}')
    assert [(line.kind, line.about, line.text) for line in crane.lines] == [("contrast", "ibis", "a straight bill")]
