"""Captions of images: from a caption set or from text files; invalid sets are refused."""

import json
import os
from pathlib import Path

import pytest

from distill.texts.captions import read_captions
from distill.texts.text_templates import TextsError
from limbeck.shared.images.file_names import json_line


def test_captions_come_from_a_set_or_from_text_files(tmp_path: Path) -> None:
    paths = ["crane/1.jpg", "crane/2.jpg"]
    (tmp_path / "crane").mkdir()
    (tmp_path / "crane" / "1.txt").write_text(" a crane\n  by a lake ")
    assert read_captions(tmp_path, paths) == ["a crane by a lake", None]
    (tmp_path / "captions.json").write_text(json.dumps({"crane/2.jpg": "a flying crane", "heron/1.jpg": "a heron"}))
    assert read_captions(tmp_path, paths) == [None, "a flying crane"]
    (tmp_path / "other.json").write_text(json.dumps({"crane/1.jpg": "one", "crane/2.jpg": " "}))
    assert read_captions(tmp_path, paths, tmp_path / "other.json") == ["one", None]
    lines = [{"path": "crane/2.jpg", "sha256": "ab", "caption": text} for text in ("first", "second")]
    (tmp_path / "set.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert read_captions(tmp_path, paths, tmp_path / "set.jsonl") == [None, "first"]
    (tmp_path / "set.jsonl").write_text('{"path": "crane/2.jpg"}\n')
    with pytest.raises(TextsError, match="set.jsonl"):
        read_captions(tmp_path, paths, tmp_path / "set.jsonl")


def test_a_caption_set_may_name_files_whose_names_are_not_utf8_or_hold_line_separators(tmp_path: Path) -> None:
    paths = [os.fsdecode(b"caf\xe9.jpg"), "a\u2028b.jpg"]
    (tmp_path / "set.jsonl").write_text("".join(json_line({"path": path, "caption": "a bird"}) for path in paths))
    assert read_captions(tmp_path, paths, tmp_path / "set.jsonl") == ["a bird", "a bird"]


def test_a_fifo_beside_an_image_is_no_caption_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "1.txt")
    assert read_captions(tmp_path, ["1.jpg"]) == [None]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1]", "is not a caption set"),
        ('{"a.jpg": 3}', "is not a caption set"),
        ("{", "is not JSON"),
        ('{"b.jpg": "b"}', "none of the images: its keys must be paths like a.jpg"),
        (None, "cannot be read"),
    ],
)
def test_invalid_caption_set_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "set.json").write_text(content)
    with pytest.raises(TextsError, match=message):
        read_captions(tmp_path, ["a.jpg"], tmp_path / "set.json")


@pytest.mark.image_input(
    "Layouts and tables", "a column of captions", "used by the loss `cap`, before `captions.json` and `.txt` files"
)
def test_captions_of_the_index_come_before_those_of_the_folder(tmp_path: Path) -> None:
    paths = ["a.jpg", "b.jpg"]
    (tmp_path / "captions.json").write_text(json.dumps({"a.jpg": "of the folder"}))
    (tmp_path / "set.json").write_text(json.dumps({"b.jpg": "given"}))
    assert read_captions(tmp_path, paths, listed=["", " of the  table "]) == [None, "of the table"]
    assert read_captions(tmp_path, paths, listed=["", ""]) == ["of the folder", None]
    assert read_captions(tmp_path, paths, tmp_path / "set.json", ["one", "two"]) == [None, "given"]
