"""The image index: saved and loaded unchanged, and unusable datasets refused with their code."""

import json
from pathlib import Path

import pytest

from distill.data.image_folders import FolderError
from distill.data.image_index import ImageIndex
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
