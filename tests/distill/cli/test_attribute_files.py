"""Attributes for `python -m distill`: JSON of Limbeck and others, label2text with sentences, and matching."""

import json
from pathlib import Path

import pytest

from distill.cli.attribute_files import read_attributes, read_label2text


def test_limbeck_json(tmp_path: Path) -> None:
    entries = [
        {
            "label": "crane",
            "sense": "bird",
            "lines": [{"kind": "sentence", "text": "It stands."}, {"kind": "phrase", "text": "long legs"}],
        },
        {"label": "crane", "sense": "machine", "lines": [{"kind": "sentence", "text": "It lifts."}]},
        {"label": "other", "sense": None, "lines": []},
    ]
    (tmp_path / "s.json").write_text(json.dumps({"format": "limbeck.attributes", "entries": entries}))
    assert read_attributes(tmp_path / "s.json", ["crane (machine)", "crane (bird)", "finch"]).lines == [
        ({"kind": "sentence", "text": "It lifts."},),
        ({"kind": "sentence", "text": "It stands."}, {"kind": "phrase", "text": "long legs"}),
        (),
    ]


def test_dclip_json(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text(json.dumps({"crane": ["long legs", "a grey body"]}))
    assert read_attributes(tmp_path / "s.json", ["crane"]).lines == [
        ({"kind": "phrase", "text": "long legs"}, {"kind": "phrase", "text": "a grey body"})
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "must be a JSON object of label"),
        ("{", "is not JSON: the file ends in the middle"),
        ("label,text\ncrane,grey\n", "is no JSON of Limbeck or of label -> texts; convert it by"),
        ("version https://git-lfs.github.com/spec/v1\n", "run `git lfs pull`"),
        ('{"crane": [1],\n"heron": 7}', r"2 faults:\n  line 1: \"crane\" must have .* a number\n  line 2: \"heron\""),
        ('{"entries": [{"label": "crane"}]}', "not a record without a field of texts"),
        ('{"format": "limbeck.attributes", "entries": [{"label": "crane"}]}', "is neither an attribute set"),
        ('"text"', "must be a JSON object of label"),
    ],
)
def test_other_formats_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(ValueError, match=rf"s\.json.*{message}"):
        read_attributes(tmp_path / "s.json", ["crane"])


def test_set_without_the_listed_labels_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text('{"heron": ["grey"]}')
    with pytest.raises(ValueError, match="has no entry for any label"):
        read_attributes(tmp_path / "s.json", ["crane"])


def test_published_spellings_match_and_are_reported(tmp_path: Path) -> None:
    texts = {
        "Black-footed Albatross": ["a hooked bill"],
        "Brandt's Cormorant": ["a blue throat"],
        "stork": ["red legs"],
    }
    (tmp_path / "s.json").write_text(json.dumps(texts))
    given = read_attributes(tmp_path / "s.json", ["Black footed Albatross", "Brandt Cormorant"])
    assert [lines[0]["text"] for lines in given.lines] == ["a hooked bill", "a blue throat"]
    assert any(note.startswith("2 entries matched by normalisation") for note in given.notes)
    assert any("1 entry is left out" in note and "stork" in note for note in given.notes)


def test_a_name_without_sense_goes_to_each_sense(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text(json.dumps({"missile": ["a long tube"]}))
    given = read_attributes(tmp_path / "s.json", ["missile (weapon)", "missile (thrown thing)"])
    assert given.lines[0] == given.lines[1] != ()
    assert any("several senses" in note for note in given.notes)


def test_one_sentence_per_label_is_a_sentence_and_a_list_of_sentences_are_answers(tmp_path: Path) -> None:
    text = "A crane is a tall grey bird with a long neck and long legs."
    (tmp_path / "one.json").write_text(json.dumps({"crane": text}))
    (tmp_path / "list.json").write_text(json.dumps({"crane": [text]}))
    kinds = [read_attributes(tmp_path / name, ["crane"]).lines[0][0]["kind"] for name in ("one.json", "list.json")]
    assert kinds == ["sentence", "answer"]


def test_label2text_gives_labels_sentences_and_folders(tmp_path: Path) -> None:
    rows = "n02012849 1 crane\nn03126707 2 crane\n003.Red_fox 3 Red_fox\n"
    (tmp_path / "l.txt").write_text(rows)
    (tmp_path / "s.txt").write_text("A bird.\r\nA machine.\r\n.\n")
    given = read_label2text(tmp_path / "l.txt", tmp_path / "s.txt")
    assert given.labels == ["crane (n02012849)", "crane (n03126707)", "Red fox"]
    assert given.names == ["crane", "crane", "Red fox"]  # an identifier says nothing to a text encoder
    assert [lines[0]["text"] for lines in given.lines] == ["A bird.", "A machine.", "."]
    assert given.folder_map["n03126707"] == "crane (n03126707)"
    assert any("says nothing to an LLM" in note for note in given.notes)
    (tmp_path / "s.txt").write_text("A bird.\n")
    with pytest.raises(ValueError, match=r"s\.txt: sentences line 2: has 1 line for 3 labels"):
        read_label2text(tmp_path / "l.txt", tmp_path / "s.txt")
