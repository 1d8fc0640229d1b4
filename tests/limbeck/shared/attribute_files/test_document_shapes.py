"""JSON of pandas, Hugging Face's viewer and FuDD, and documents without texts of labels."""

import json

import pytest

from limbeck.shared.attribute_files.json_documents import parse_json
from limbeck.shared.attribute_files.label_texts import LabelTexts, read_label_texts
from limbeck.shared.attribute_files.reading import FormatError, Reading


def read(data: object) -> tuple[list[LabelTexts], Reading]:
    reading = Reading()
    found = read_label_texts(parse_json(json.dumps(data), reading), reading)
    reading.close()
    return found, reading


@pytest.mark.parametrize(
    "data",
    [
        {"label": {"0": "crane", "1": "ibis"}, "text": {"0": "grey wings", "1": "a bent bill"}},
        {"columns": ["class", "text"], "index": [0, 1], "data": [["crane", "grey wings"], ["ibis", "a bent bill"]]},
        [
            {"row_idx": 0, "row": {"label": "crane", "text": "grey wings"}},
            {"row_idx": 1, "row": {"label": "ibis", "text": "a bent bill"}},
        ],
        {
            "features": [{"name": "label"}],
            "rows": [
                {"row_idx": 0, "row": {"label": "crane", "text": "grey wings"}},
                {"row_idx": 1, "row": {"label": "ibis", "text": "a bent bill"}},
            ],
        },
    ],
)
def test_rows_that_other_programs_write(data: object) -> None:
    found, _ = read(data)
    assert [(one.name, [text.text for text in one.texts]) for one in found] == [
        ("crane", ["grey wings"]),
        ("ibis", ["a bent bill"]),
    ]


def test_the_pairs_of_fudd_are_texts_of_both_classes() -> None:
    pairs = [
        {"attr_type": "color", "prompt_pair": ["grey wings", "a white body"]},
        {"attr_type": "x", "prompt_pair": 7},
    ]
    found, _ = read({"0_1": {"classes": [0, 1], "prompt_pairs": pairs[:1]}})
    assert [(one.name, one.texts[0].text, one.texts[0].about) for one in found] == [
        ("0", "grey wings", "color"),
        ("1", "a white body", "color"),
    ]
    with pytest.raises(FormatError, match='"0" must have a list of texts, not a number'):
        read({"0_1": {"classes": [0, 1], "prompt_pairs": pairs}})


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        ({"id2label": {"0": "crane", "1": "ibis"}, "label2id": {"crane": 0}}, "has labels and no texts"),
        ({"train": {"crane": ["a"]}, "test": {"ibis": ["b"]}}, r"has several parts \(test, train\): give the one"),
        ([{"id": 1, "note": "a"}, {"id": 2, "note": "b"}], "they have id, note"),
    ],
)
def test_documents_without_texts_of_labels_are_refused(data: object, fault: str) -> None:
    with pytest.raises(FormatError, match=fault):
        read(data)
