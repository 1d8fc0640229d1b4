"""The shapes of JSON that lists texts by label: one small file each in `shapes/`, and their faults."""

import json
from pathlib import Path

import pytest

from limbeck.shared.attribute_files.json_documents import parse_json
from limbeck.shared.attribute_files.label_texts import LabelText, LabelTexts, is_sentences, read_label_texts
from limbeck.shared.attribute_files.reading import FormatError, Reading

SHAPES = Path(__file__).with_name("shapes")
TEXTS = {"crane": ["a long neck", "grey wings"], "ibis": ["a bent bill"]}
OTHER_TEXTS = {
    "one_text": {"crane": ["a long neck"], "ibis": ["a bent bill"]},
    "by_part": {"crane": ["long", "grey", "broad"], "ibis": ["bent"]},
    "by_other_label": {"crane": ["a straight bill"], "ibis": ["a bent bill"]},
    "with_nulls": {**TEXTS, "stork": []},
}
ABOUT = {
    "by_question": ["What does a crane look like?", "Describe a crane.", "Describe an ibis."],
    "by_part": ["neck", "wings", "wings", "bill"],
    "by_other_label": ["ibis", "crane"],
}


def read(text: str, *, partial: bool = False) -> tuple[list[LabelTexts], Reading]:
    reading = Reading(partial=partial)
    found = read_label_texts(parse_json(text, reading), reading)
    reading.close()
    return found, reading


@pytest.mark.parametrize("path", sorted(SHAPES.glob("*.json")), ids=lambda path: path.stem)
def test_each_published_shape_is_read(path: Path) -> None:
    found, reading = read(path.read_text(encoding="utf-8"))
    assert {one.name: [text.text for text in one.texts] for one in found} == OTHER_TEXTS.get(path.stem, TEXTS)
    about = [text.about for one in found for text in one.texts]
    assert about == ABOUT.get(path.stem, [""] * len(about))
    assert reading.report.read_as
    assert not is_sentences(found)


def test_every_shape_has_its_file() -> None:
    assert len(list(SHAPES.glob("*.json"))) == 19
    assert OTHER_TEXTS.keys() | ABOUT.keys() <= {path.stem for path in SHAPES.glob("*.json")}


def test_texts_and_labels_are_normalised_and_counted() -> None:
    texts = {"crane ": ["a\nlong\u00a0neck", "grey\u200b wings", "grey wings", "\u2028", "a \ue000red cap"]}
    (crane,), reading = read(json.dumps(texts))
    assert crane == LabelTexts(
        "crane", None, tuple(map(LabelText, ("a long neck", "grey wings", "grey wings", "a red cap")))
    )
    report = reading.report
    assert (report.normalized_texts, report.normalized_labels, report.empty_texts) == (4, 1, 1)
    assert (report.dropped_characters, report.repeated_texts) == (2, 1)
    assert report.warnings == ["1 private-use characters dropped from texts or labels"]


FAULTY = """{
"crane": ["a long neck", 7],
"": ["x"],
"ibis": 3,
"crane": ["again"],
"Crane": ["case"],
"heron": ["a grey back"]
}"""


def test_all_faults_of_a_file_are_reported_with_their_lines() -> None:
    with pytest.raises(FormatError) as caught:
        read(FAULTY)
    error = caught.value
    assert error.num_faults == 5
    assert [(fault.line, fault.path) for fault in error.faults] == [
        (2, ("crane", 1)),
        (3, ("",)),
        (4, ("ibis",)),
        (5, ("crane",)),
        (6, ("Crane",)),
    ]
    assert str(error).splitlines()[0] == "5 faults:"
    assert '  line 4: "ibis" must have a list of texts, not a number' in str(error).splitlines()


def test_a_partial_reading_keeps_what_is_valid() -> None:
    found, reading = read(FAULTY, partial=True)
    assert {one.name: [text.text for text in one.texts] for one in found} == {
        "crane": ["a long neck"],
        "ibis": [],
        "heron": ["a grey back"],
    }
    assert reading.report.left_out == 5


def test_of_many_faults_the_first_twenty_are_listed() -> None:
    text = json.dumps({f"label {i}": i for i in range(37)}, indent=0)
    with pytest.raises(FormatError) as caught:
        read(text)
    assert (caught.value.num_faults, len(caught.value.faults)) == (37, 20)
    assert str(caught.value).startswith("37 faults; the first 20:\n  line 2: ")


@pytest.mark.parametrize("value", ["7", '"text"', "[1, 2]", '["a", "b"]', "null", '[["a", ["x"]], 7]'])
def test_other_json_is_refused(value: str) -> None:
    with pytest.raises(FormatError, match="must be a JSON object of label -> list of texts"):
        read(value)


def test_a_label_has_at_most_500_texts_of_5000_characters() -> None:
    with pytest.raises(FormatError, match='label "crane" has more than 500 texts'):
        read(json.dumps({"crane": [f"text {i}" for i in range(501)]}))
    with pytest.raises(FormatError, match="has 5001 characters; at most 5000"):
        read(json.dumps({"crane": ["x" * 5001]}))


def test_records_of_labels_with_senses() -> None:
    records = [{"name": "crane", "sense": sense, "phrases": [sense]} for sense in ("bird", "machine")]
    found, _ = read(json.dumps(records))
    assert [str(one) for one in found] == ["crane (bird)", "crane (machine)"]


@pytest.mark.parametrize(
    "text", ["- a long neck\n- grey wings", "1. a long neck\n\n2) grey wings\n", "• a long neck\r\n* grey wings"]
)
def test_a_text_of_bullets_is_divided(text: str) -> None:
    (crane,), reading = read(json.dumps({"crane": text}))
    assert [one.text for one in crane.texts] == ["a long neck", "grey wings"]
    assert "divided into their items" in reading.report.warnings[0]


@pytest.mark.parametrize("text", ["a neck:\n- long\n- grey", "- a single item", "1.5 m tall\nand grey"])
def test_other_texts_with_line_ends_are_one_text(text: str) -> None:
    (crane,), _ = read(json.dumps({"crane": text}))
    assert [one.text for one in crane.texts] == [" ".join(text.split())]


def test_all_fields_of_texts_are_read_and_a_prompt_is_a_question() -> None:
    records = [
        {"class": "crane", "phrases": ["grey"], "sentences": ["It is tall."], "prompt": "Describe a crane", "id": 1},
        {"class": "ibis", "attribute 1": "white", "attribute 2": None, "attribute_3": "small"},
    ]
    (crane, ibis), reading = read(json.dumps(records))
    assert crane.texts == (LabelText("grey", "Describe a crane"), LabelText("It is tall.", "Describe a crane"))
    assert ibis.texts == (LabelText("white"), LabelText("small"))
    assert "fields that are not used: id" in reading.report.warnings
    ((only,), _) = read(json.dumps([{"class": "crane", "prompts": ["a tall crane"]}]))
    assert only.texts == (LabelText("a tall crane"),)


def test_bullets_before_the_texts_of_a_list_are_removed() -> None:
    (crane, ibis), reading = read(
        json.dumps({"crane": ["- a long neck", "- grey wings"], "ibis": ["- white", "small"]})
    )
    assert [one.text for one in crane.texts] == ["a long neck", "grey wings"]
    assert [one.text for one in ibis.texts] == ["- white", "small"]
    assert "the bullets or numbers before texts were removed" in reading.report.warnings


def test_labels_without_texts_are_named() -> None:
    _, reading = read(json.dumps({"crane": [], "ibis": ["white"], "stork": None}))
    assert '2 of 3 labels have no texts: "crane", "stork"' in reading.report.warnings
