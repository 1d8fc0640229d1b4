"""Every registered format: round trips, detection, and the names that the client knows."""

from typing import get_args

import pytest

from attributes.formats.common import FormatError, Reading
from attributes.formats.registry import FORMATS, FileHead, detect_format, parse_entries
from attributes.types import Entry, Line
from limbeck.shared.format_names import BINARY_FORMATS, DOCUMENT_FORMATS, DocumentFormat, FileFormat, ImportFormat

# What every format can hold: phrases, or in CuPL's JSON answers.
PHRASES = [Entry("crane", lines=(Line("phrase", "a grey neck", origin="import"),)), Entry("ibis")]
SENTENCE = "A crane is a tall grey bird with a long neck and long black legs."
ANSWERS = [Entry("crane", lines=(Line("answer", SENTENCE, origin="import"),))]


@pytest.mark.parametrize("name", DOCUMENT_FORMATS)
def test_each_format_reads_what_it_writes_and_is_detected(name: DocumentFormat) -> None:
    entries = ANSWERS if name == "cupl" else PHRASES
    if name in BINARY_FORMATS:
        pytest.importorskip("pyarrow")
    pieces = [one if isinstance(one, bytes) else one.encode() for one in FORMATS[name].write(entries, FileHead())]
    content = b"".join(pieces)
    assert detect_format(content) == name
    for format in (name, None):
        read = parse_entries(content, format)
        assert [(entry.label, [line.text for line in entry.lines]) for entry in read] == [
            (entry.label, [line.text for line in entry.lines]) for entry in entries
        ]


def test_only_limbecks_json_stores_the_head() -> None:
    stored = {}
    for name in DOCUMENT_FORMATS:
        if name not in BINARY_FORMATS:
            pieces = FORMATS[name].write(ANSWERS if name == "cupl" else PHRASES, FileHead(domain="birds", model="m"))
            stored[name] = FORMATS[name].read("".join(map(str, pieces)), Reading()).domain
    assert stored == {"json": "birds", "csv": None, "dclip": None, "cupl": None, "jsonl": None}


def test_a_format_that_cannot_hold_the_entries_fails_before_the_first_piece() -> None:
    with pytest.raises(FormatError, match="phrase"):
        FORMATS["dclip"].write(ANSWERS, FileHead())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf  \n", "the header lacks"),
        (b"<!DOCTYPE html><html></html>", "is HTML or XML"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\n", "run `git lfs pull`"),
        (b"404: Not Found", "the error '404: Not Found' of a server"),
        (b"Entry not found", "the error 'Entry not found' of a server"),
        (b"import json\nDESCRIPTORS = {'crane': ['grey']}\n", "write the value with json.dumps"),
        (b"\x80\4\x95\0\0\0\0", "is a Python pickle"),
    ],
)
def test_other_files_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        parse_entries(content)


def test_a_file_without_labels_is_refused() -> None:
    with pytest.raises(FormatError, match="no labels"):
        parse_entries("{}", "dclip")


def test_the_names_agree_with_the_exports() -> None:
    assert set(FORMATS) < set(get_args(FileFormat))
    assert set(FORMATS) | {"auto"} == set(get_args(ImportFormat))
    assert len({file_format.extension for file_format in FORMATS.values()}) == len(FORMATS)


@pytest.mark.parametrize(
    ("text", "format"),
    [
        ('{"entries": [{"label": "a", "lines": []}]}', "json"),
        ('{"version": 1, "data": [{"label": "a", "text": "b"}]}', "dclip"),
        ('[{"label": "a", "descriptors": ["b"]}]', "dclip"),
        ('{"label": "a", "text": "b"}\n{"label": "c", "text": "d"}\n', "jsonl"),
        ('{"label": "a", "lines": []}\n', "jsonl"),
        ('{"label": "a", "text": "b"}', "dclip"),
        ('{"a": ["b"],\n}', "json"),
        ("label\ttext\na\tb\n", "csv"),
    ],
)
def test_formats_are_recognised_by_their_content(text: str, format: DocumentFormat) -> None:
    assert detect_format(text) == detect_format(text.encode("utf-16")) == format
