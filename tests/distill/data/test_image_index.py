"""The image index: saved and loaded unchanged, and unusable datasets refused with their code."""

import hashlib
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.data.image_folders import FolderError
from distill.data.image_index import ImageIndex, Item
from distill.data.splits import PARTS, Part
from tests.distill.data.helpers_index import create, create_ten, scan_error, scan_with


def test_saved_index_loads_equal(tmp_path: Path) -> None:
    image_index = scan_with(create_ten(tmp_path / "data", "crane", "red finch", "blue jay"), {"by": "seed"})
    image_index.save(tmp_path / "manifest.jsonl")
    loaded = ImageIndex.load(tmp_path / "manifest.jsonl")
    assert (loaded.root, loaded.labels, loaded.items) == (image_index.root, image_index.labels, image_index.items)
    assert loaded.digest == image_index.digest


@pytest.mark.parametrize("damage", ["cut", "altered", "empty", "not json"])
def test_damaged_index_is_refused(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "manifest.jsonl"
    scan_with(create_ten(tmp_path / "data", "crane", "red finch"), {"by": "seed", "id_fraction": 1}).save(file)
    lines = file.read_text().splitlines(keepends=True)
    item = json.loads(lines[1])
    altered = json.dumps([item[0], 1 - item[1] % 2, item[2]]) + "\n"
    texts = {"cut": lines[:-1], "altered": [lines[0], altered, *lines[2:]], "empty": [], "not json": ["{"]}
    file.write_text("".join(texts[damage]))
    with pytest.raises(FolderError, match=r"manifest\.jsonl") as caught:
        ImageIndex.load(file)
    assert caught.value.code == "bad_manifest"


@pytest.mark.parametrize(
    ("paths", "split", "code"),
    [
        (["crane/1.jpg"], {"by": "seed"}, "one_label"),
        ([], {"by": "seed"}, "no_images"),
        (["stray.jpg"], {"by": "seed"}, "no_images"),
        (["crane/1.jpg", "blue jay/1.txt"], {"by": "seed"}, "one_label"),
        (["crane/1.txt", "blue jay/1.txt"], {"by": "seed"}, "no_images"),
        (["crane/1.jpg"], {"by": "list", "id": ["crane", "blue jay"]}, "no_images"),
        (["crane/1.jpg"], {"by": "list", "id": ["crane", "heron"]}, "unknown_label"),
        (["crane/1.jpg", "blue jay/1.jpg"], {"by": "seed"}, "nothing_to_measure"),
        (["crane/1.jpg"], {"by": "folders"}, "no_such_folder"),
        (["val/crane/1.jpg"], {"by": "folders"}, "no_such_folder"),
        (["crane/1.jpg"], {"by": "image_lists", "train": "t.txt", "ood": "o.txt"}, "missing_list"),
        (["crane/1.jpg"], {"by": "image_lists", "train": "../t.txt", "ood": "o.txt"}, "outside_root"),
    ],
)
def test_unusable_datasets_are_refused(tmp_path: Path, paths: list[str], split: dict[str, object], code: str) -> None:
    root = create(tmp_path / "data", *paths)
    root.mkdir(exist_ok=True)
    assert scan_error(root, split).code == code


NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(NAMES, st.integers(0, 2), st.sampled_from(PARTS[:3]), NAMES)))
def test_digest_and_file_are_those_of_the_items_one_by_one(rows: list[tuple[str, int, Part, str]]) -> None:
    items = [Item(path, label, part, caption or None) for path, label, part, caption in rows]
    image_index = ImageIndex.of("/root", ("a", "b", "c"), items)
    digest = hashlib.sha256(json.dumps(["a", "b", "c"]).encode())
    for item in items:
        digest.update(json.dumps(item.as_fields()).encode())
    assert image_index.digest == digest.hexdigest()
    with tempfile.TemporaryDirectory() as folder:
        image_index.save(Path(folder, "index.jsonl"))
        header, *lines = Path(folder, "index.jsonl").read_text(encoding="utf-8").split("\n")
        assert json.loads(header)["digest"] == digest.hexdigest()
        assert lines == [json.dumps(item.as_fields(), ensure_ascii=False) for item in items] + [""]
        assert ImageIndex.load(Path(folder, "index.jsonl")).items == items


def test_a_line_with_two_items_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "index.jsonl"
    ImageIndex.of("/root", ("a",), [Item("1.jpg", 0, "train"), Item("2.jpg", 0, "train")]).save(file)
    header, first, second, _ = file.read_text().split("\n")
    file.write_text(f"{header}\n{first},{second}\n")
    with pytest.raises(FolderError) as caught:
        ImageIndex.load(file)
    assert caught.value.code == "bad_manifest"
