"""Limbeck's JSON format: files are read back unchanged, and errors name the line."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings

from attributes.formats.common import FormatError, Reading
from attributes.formats.limbeck_json import read_json, write_json
from attributes.types import Entry, Line
from limbeck.shared.attribute_files import json_documents
from limbeck.shared.attribute_files.json_documents import line_of_path
from tests.attributes.formats.examples import BIRD, ENTRIES, MACHINE, PLAIN, TALL


def json_text(*entries: Entry) -> str:
    return "".join(write_json(entries, domain="things", strategy="describe@1", model="m"))


def test_a_file_is_read_back_unchanged() -> None:
    file = read_json(json_text(BIRD, MACHINE, PLAIN))
    assert file.entries == [BIRD, MACHINE, PLAIN]
    assert (file.domain, file.strategy, file.model) == ("things", "describe@1", "m")
    assert read_json("".join(write_json([]))).entries == []


def test_a_file_has_one_entry_per_line() -> None:
    lines = json_text(BIRD, MACHINE).splitlines()
    assert len(lines) == 4
    assert json.loads(lines[1].rstrip(",")) == BIRD.as_json()


@pytest.mark.slow
@settings(deadline=None)
@given(ENTRIES)
def test_any_entries_are_read_back_unchanged(entries: list[Entry]) -> None:
    text = "".join(write_json(entries))
    assert read_json(text).entries == entries
    assert all(line_of_path(text, ["entries", i]) == i + 2 for i in range(len(entries)))


@pytest.mark.parametrize(
    ("damage", "line", "message"),
    [
        (lambda text: text.replace('"machine"', "machine"), 3, "is not JSON"),
        (lambda text: text.replace('"machine"', "7"), 3, "entries/1/sense"),
        (lambda text: text.replace('"machine"', '"bird"'), 3, 'label "crane (bird)" is also on line 2'),
        (lambda text: text.replace('"origin": "human"', '"origin": "robot"'), 3, "entries/1/lines/0/origin"),
        (lambda text: text.replace('"origin": "human"', '"origins": "human"'), 3, "entries/1/lines/0/origins"),
        (lambda text: text.replace('"origin": "human"', '"kind": "phrase"'), 3, "'kind' is duplicated"),
        (lambda text: text.replace('"label": "colt\'s foot", ', ""), 4, "entries/2/label"),
        (lambda text: text.replace('"colt\'s foot"', '" "'), 4, "is blank"),
        (lambda text: text.replace('"a long neck"', "null"), 2, "entries/0/lines/1/text"),
        (lambda text: text.replace('"version": 2', '"version": 1'), 1, "version"),
        (lambda text: text.replace("limbeck.attributes", "other"), 1, "format"),
        (lambda text: text[:-20], 4, "is not JSON"),
        (lambda text: "[" * 100_000, 1, "nested too deeply"),
        (lambda text: "7", 1, "must be an object with"),
    ],
)
def test_errors_in_a_damaged_file_name_the_line(damage: Callable[[str], str], line: int, message: str) -> None:
    intact = json_text(BIRD, MACHINE, PLAIN)
    assert damage(intact) != intact
    with pytest.raises(FormatError) as caught:
        read_json(damage(intact))
    assert message in str(caught.value)
    assert caught.value.line == line
    assert str(caught.value).startswith(f"line {line}: ")


@pytest.mark.slow
def test_line_numbers_are_searched_only_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search reads the whole text for each call; a valid large file must be read in seconds."""
    lines = tuple(Line("phrase", f"phrase {i}", "part", "value") for i in range(6))
    text = "".join(write_json(Entry(f"label {i}", None, (TALL, *lines)) for i in range(5_000)))
    calls = 0

    def count_call(*_: object) -> int:
        nonlocal calls
        calls += 1
        return 1

    monkeypatch.setattr(json_documents, "line_of_path", count_call)
    assert len(read_json(text).entries) == 5_000
    assert calls == 0


def test_all_faults_are_reported_and_a_partial_reading_keeps_the_other_entries() -> None:
    text = json_text(BIRD, MACHINE, PLAIN, Entry("ibis"))
    text = text.replace('"machine"', "7").replace("a tall yellow", "").replace('"label": "ibis"', '"label": "\u200b"')
    with pytest.raises(FormatError) as caught:
        read_json(text)
    assert [fault.line for fault in caught.value.faults] == [3, 5]
    reading = Reading(partial=True)
    assert read_json(text, reading).entries == [BIRD, PLAIN]
    assert reading.report.left_out == 2


def test_texts_are_normalised_and_lines_without_text_are_dropped() -> None:
    dirty = Entry("crane", lines=(Line("phrase", "a\n long\u00adneck", "ne\tck"), Line("phrase", "\ufeff")))
    reading = Reading()
    (crane,) = read_json(json_text(dirty), reading).entries
    assert [(line.text, line.part) for line in crane.lines] == [("a longneck", "ne ck")]
    assert (reading.report.empty_texts, reading.report.dropped_characters) == (1, 2)
