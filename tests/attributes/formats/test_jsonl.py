"""JSON Lines: entries and tables, and a broken line that does not lose the others."""

import pytest

from attributes.formats.common import FormatError, Reading
from attributes.formats.jsonl import read_jsonl, write_jsonl
from attributes.types import Entry, Line
from tests.attributes.formats.examples import BIRD, MACHINE, PLAIN

SENTENCE = "A crane is a tall grey bird with a long neck and long black legs."


def test_entries_are_written_one_per_line_and_read_back() -> None:
    pieces = list(write_jsonl([BIRD, MACHINE, PLAIN, Entry("ibis")]))
    assert [piece.count("\n") for piece in pieces] == [1, 1, 1, 1]
    assert read_jsonl("".join(pieces)) == [BIRD, MACHINE, PLAIN, Entry("ibis")]


@pytest.mark.parametrize(
    "text",
    [
        '{"label": "crane", "text": "a long neck"}\n{"label": "crane", "text": "grey wings"}\n',
        '{"class_name": "crane", "descriptions": ["a long neck", "grey wings"]}\n\n',
        '\ufeff{"Label": "crane", "kind": "x", "Phrases": ["a long neck", "grey wings"]}\r\n',
        '{"label": "crane", "kind": "phrase", "text": "a long neck"}\n'
        '{"label": "crane", "kind": "phrase", "text": "grey\\nwings"}',
    ],
)
def test_lines_of_a_label_and_its_texts_are_read(text: str) -> None:
    (crane,) = read_jsonl(text)
    assert (crane.label, crane.phrases) == ("crane", ("a long neck", "grey wings"))


def test_long_texts_are_answers_with_their_questions() -> None:
    (crane,) = read_jsonl(f'{{"label": "crane", "question": "What is it like?", "answer": "{SENTENCE}", "score": 1}}\n')
    assert crane.lines == (Line("answer", SENTENCE, about="What is it like?", origin="import"),)


FAULTY = (
    '{"label": "crane", "text": "a long neck"}\n'
    '{"label": "ibis", "text": "a bent bill"\n'
    '{"label": 7, "text": "x"}\n'
    '{"label": "heron", "text": 7}\n'
    '{"label": "stork", "label": "ibis", "text": "y"}\n'
    '["stork", "z"]\n'
)


def test_each_faulty_line_is_reported() -> None:
    with pytest.raises(FormatError) as caught:
        read_jsonl(FAULTY)
    assert sorted(fault.line or 0 for fault in caught.value.faults) == [2, 3, 4, 5, 6]
    reading = Reading(partial=True)
    assert [(entry.label, entry.phrases) for entry in read_jsonl(FAULTY, reading)] == [
        ("crane", ("a long neck",)),
        ("heron", ()),
    ]
    assert reading.report.left_out == 5


def test_faulty_entries_are_reported() -> None:
    text = (
        '{"label": "crane", "lines": [{"kind": "phrase", "text": "a"}]}\n'
        '{"label": "crane", "lines": []}\n'
        '{"label": "ibis", "lines": [{"kind": "verse", "text": "a"}], "colour": 1}\n'
    )
    with pytest.raises(FormatError) as caught:
        read_jsonl(text)
    faults = [str(fault) for fault in caught.value.faults]
    assert faults[0] == 'line 2: label "crane" is also on line 1'
    assert [fault.partition(": ")[0] for fault in faults[1:]] == ["line 3", "line 3"]


def test_lines_of_one_label_each_are_read_and_faults_have_their_lines() -> None:
    crane, ibis = read_jsonl('{"crane": ["a long neck", "grey wings"]}\n\n{"ibis": "a bent bill"}\n')
    assert (crane.phrases, ibis.phrases) == (("a long neck", "grey wings"), ("a bent bill",))
    with pytest.raises(FormatError, match='line 3: "ibis" must have a list of texts, not a number'):
        read_jsonl('{"crane": ["a long neck"]}\n\n{"ibis": 7}\n')


def test_a_table_needs_a_column_of_labels_and_one_of_texts() -> None:
    with pytest.raises(
        FormatError, match="has no field of labels and of texts, such as label and text; it has id, note"
    ):
        read_jsonl('{"id": 1, "note": "x"}\n{"id": 2, "note": "y"}\n')
