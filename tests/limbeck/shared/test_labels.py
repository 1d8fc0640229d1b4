"""The rule of labels, and the inputs that must apply it: POST, `limbeck enrich`, attributes and distill."""

import csv
import io
import json
import sys
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from api.app import create_app
from attributes.cli import describe
from distill.cli.label_files import read_labels
from limbeck.cli import main
from limbeck.shared.labels import (
    duplicates,
    fold,
    is_invalid_character,
    label_fault,
    label_key,
    missing_senses,
    name_fault,
    normalize,
    numbered_lines,
    readings,
    sense_fault,
    unique_names,
    written,
)
from limbeck.shared.text import clean
from store.db import Database
from tests.api.conftest import settings_at
from tests.api.live import served

INVALID = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
FIRST, LAST = "first label", "last label"


@pytest.mark.slow
def test_the_categories_of_all_code_points() -> None:
    for code_point in range(sys.maxunicode + 1):
        character = chr(code_point)
        category = unicodedata.category(character)
        expected = category in INVALID and character not in "\u200c\u200d"
        assert is_invalid_character(character) == expected, (hex(code_point), category)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("crane", None),
        ("black  footed\u00a0albatross", None),
        ("\u0915\u094d\u200d\u0937", None),  # the zero-width joiner is part of the spelling
        (" \u3000", "is blank"),
        ("\u200d", "is blank"),
        ("x" * 201, "has 201 characters; at most 200 are allowed"),
        ("e\u0301" * 200, None),  # 200 characters in NFC
        ("a\x1bb", "has a control character (U+001B)"),
        ("a\u00adb", "has a control character (U+00AD)"),
        ("a\ud800b", "has a control character (U+D800)"),
        ("crane \ue000", 'has a private-use character (U+E000) in "crane <U+E000>"; remove it, or use a standard char'),
        ("\U0010fffd", 'has a private-use character (U+10FFFD) in "<U+10FFFD>"'),
        ("a\u0378", 'has an unassigned character (U+0378) in "a<U+0378>"'),
    ],
)
def test_name_fault(name: str, fault: str | None) -> None:
    assert name_fault(name) == fault if fault is None else (name_fault(name) or "").startswith(fault)


def test_senses_and_blank_senses() -> None:
    assert sense_fault(None) is sense_fault("  ") is label_fault("crane", " ") is None
    assert sense_fault("s" * 501) == "has 501 characters; at most 500 are allowed"
    assert label_fault("crane", "a\x07") == 'the sense of label "crane" has a control character (U+0007)'
    assert label_fault("", "bird") == 'label "" is blank'


def test_labels_are_compared_without_case_and_normal_form() -> None:
    assert label_key(" Cafe\u0301", " ") == label_key("CAF\u00c9", None)
    assert label_key("a b", None) != label_key("a  b", None)
    labels = [("crane", "bird"), ("heron", None), ("Crane", "BIRD"), ("Crane", "machine"), ("heron", "grey")]
    assert list(duplicates(labels)) == [(2, 0)]
    assert list(missing_senses(labels)) == [(1, 4)]
    assert unique_names(labels[:2] + labels[3:4]) == ["crane (bird)", "heron", "Crane (machine)"]


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_written_label_can_be_read(name: str, sense: str) -> None:
    name, sense = f"a{name}", f"{sense}b"
    assert {(written(name, sense), None), (name, sense)} <= set(readings(written(name, sense)))


@given(st.text(max_size=250))
def test_a_prompt_keeps_every_character_of_a_valid_label(name: str) -> None:
    name = normalize(name)
    if name_fault(name) is None:
        assert clean(name, 200).split() == name.split()
        assert fold(fold(name)) == fold(name)


def test_numbered_lines_end_at_line_feeds_only() -> None:
    assert numbered_lines("\ufeffa\r\nb\u2028c\x0bd\n\n") == [(1, "a"), (2, "b\u2028c\x0bd"), (3, "")]
    assert numbered_lines("") == []


LabelInput = Callable[[str], bool]
"""Whether an input accepts a list of three labels, the second of which is the given text."""


@pytest.fixture
def label_inputs(
    sqlite_db: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, LabelInput]]:
    app = create_app(settings_at(tmp_path / "home"), sqlite_db)
    http = TestClient(app, base_url="http://127.0.0.1:8420")
    file = tmp_path / "labels.txt"

    def post(content: str, media_type: str) -> bool:
        headers = {"Content-Type": media_type}
        response = http.post("/v1/vocabularies?name=b", content=content.encode(), headers=headers)
        assert response.status_code in (200, 201, 422), response.text
        return response.status_code != 422

    def post_csv(label: str) -> bool:
        content = io.StringIO()
        csv.writer(content).writerows([["name"], [FIRST], [label], [LAST]])
        return post(content.getvalue(), "text/csv")

    def write(label: str) -> None:
        file.write_bytes(f"{FIRST}\n{label}\n{LAST}\n".encode())

    def limbeck_enrich(label: str) -> bool:
        write(label)
        code = main(["enrich", str(file), "--dry-run"])
        assert code == 0 or "line 2: " in capsys.readouterr().err  # the labels of the file, not another fault
        return code == 0

    def python_m_attributes(label: str) -> bool:
        write(label)
        # The labels are read first; then the command ends, because the output folder does not exist.
        assert describe.main([str(file), "--out", str(tmp_path / "none" / "set.json"), "--model", "m"]) == 2
        error = capsys.readouterr().err
        assert "line 2: " in error or "--out" in error
        return "--out" in error

    def python_m_distill(label: str) -> bool:
        write(label)
        try:
            # The reader replaces no-break and other special spaces by a space.
            return " ".join(label.split()) in [" ".join(found.split()) for found in read_labels(file)]
        except ValueError as error:
            message = str(error)
        assert "line 2: " in message
        return False

    with http, served(app) as url:
        monkeypatch.setenv("LIMBECK_URL", url)
        monkeypatch.delenv("LIMBECK_KEY", raising=False)
        yield {
            "JSON": lambda label: post(
                json.dumps({"name": "b", "labels": [FIRST, label, LAST]}, ensure_ascii=False), "application/json"
            ),
            "CSV": post_csv,
            "text": lambda label: post(f"{FIRST}\n{label}\n{LAST}\n", "text/plain"),
            "limbeck enrich": limbeck_enrich,
            "python -m attributes": python_m_attributes,
            "python -m distill": python_m_distill,
        }


def _characters() -> st.SearchStrategy[str]:
    """All code points of UTF-8; each invalid category as often as all others together."""
    categories = [st.characters(categories=[name]) for name in INVALID if name != "Cs"]  # UTF-8 has no surrogates
    return st.one_of(st.characters(codec="utf-8"), *categories, st.sampled_from(" \u200c\u200d\u00a0\u3000\u0301"))


@pytest.mark.slow
@given(before=st.sampled_from(["", "crane ", "x" * 199]), character=_characters(), after=st.sampled_from(["", "b"]))
@example("crane ", "\ue000", "")
@example("crane ", "\u200d", "b")
@example("", " ", "")
@example("", "\n", "b")
@example("", "\t", "b")
@example("crane ", "\r", "")
@example("crane ", "\u2028", "b")
@example("crane ", "\u00a0", "b")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_input_accepts_the_same_labels(
    label_inputs: dict[str, LabelInput], before: str, character: str, after: str
) -> None:
    label = f"{before}{character}{after}"
    expected = label_fault(label, None) is None
    for name, accepts in label_inputs.items():
        # A line feed ends a line of a text file; a tab ends the name.
        separators = {"JSON": "", "CSV": ""}.get(name, "\n\t")
        if any(separator in label for separator in separators):
            continue
        # A blank line, or a comment, is no label of a text file; a row of CSV without any value is none either.
        if (name != "JSON" and not label.strip()) or (name not in ("JSON", "CSV") and label.startswith("#")):
            continue
        assert accepts(label) == expected, (name, label)


def test_no_input_accepts_a_label_twice(label_inputs: dict[str, LabelInput]) -> None:
    for name, accepts in label_inputs.items():
        assert not accepts(FIRST.upper()), name
