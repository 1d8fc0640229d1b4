"""Class folders to a manifest: matching, the four splits, what is refused and with which code."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from distill.data.image_folders import FolderError
from distill.data.image_index import ImageIndex, Item, scan
from distill.data.label_matching import normalise
from distill.data.splits import SPLIT

LABELS = ("Black footed Albatross", "crane", "red finch", "blue jay")


def put(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"")
    return root


def ten(root: Path, *folders: str) -> Path:
    return put(root, *(f"{folder}/{number}.jpg" for folder in folders for number in range(10)))


def look(root: Path, split: dict[str, object], folder_map: dict[str, str] | None = None) -> ImageIndex:
    return scan(root, LABELS, SPLIT.validate_python(split), folder_map)


def refused(root: Path, split: dict[str, object], **given: dict[str, str]) -> FolderError:
    with pytest.raises(FolderError) as caught:
        look(root, split, **given)
    return caught.value


@pytest.mark.parametrize(
    ("folder", "label"),
    [
        ("001.Black_footed_Albatross", "Black-footed  albatross"),
        ("12_CRANE", "crane"),
        ("Stra\u00dfe", "STRASSE"),
        ("cafe\u0301", "Caf\u00e9"),
        ("7 up", "7-Up"),
    ],
)
def test_normalisation(folder: str, label: str) -> None:
    assert normalise(folder) == normalise(label)


def test_normalisation_keeps_different_names_apart() -> None:
    assert normalise("crane 2") != normalise("crane")
    assert normalise("747") == "747"


def test_split_by_seed_is_class_disjoint_and_complete(tmp_path: Path) -> None:
    ten(tmp_path, "001.Black_footed_Albatross", "CRANE/deep", "red-finch", "blue_jay")
    put(tmp_path, "crane/notes.txt", "crane/.hidden.jpg", "labels.txt", ".cache/x.jpg", "crane/a.PNG", "crane/b.webp")
    (tmp_path / "CRANE").rename(tmp_path / "crane" / "more")
    image_index = look(tmp_path, {"by": "seed", "seed": 3})
    assert len(image_index) == 42
    assert set(image_index.id_labels) | set(image_index.ood_labels) == {0, 1, 2, 3}
    assert len(image_index.id_labels) == len(image_index.ood_labels) == 2
    for label in image_index.id_labels:
        its = [item.part for item in image_index if item.label == label]
        assert its.count("held_out") == int(len(its) * 0.3 + 0.5)
        assert its.count("train") == len(its) - its.count("held_out")
    assert {item.part for item in image_index if item.label in image_index.ood_labels} == {"ood"}
    assert image_index.file(0).is_file()


def test_split_does_not_hang_on_the_order_or_place_of_the_disk(tmp_path: Path) -> None:
    folders = ["crane", "red finch", "blue jay"]
    one = look(ten(tmp_path / "one", *folders), {"by": "seed"})
    two = look(ten(tmp_path / "two", *reversed(folders)), {"by": "seed"})
    assert one.items == two.items
    assert one.digest == two.digest
    other = look(tmp_path / "two", {"by": "seed", "seed": 1})
    assert other.digest != one.digest


def test_an_added_image_moves_few_others(tmp_path: Path) -> None:
    ten(tmp_path, "crane", "red finch")
    before = set(look(tmp_path, {"by": "seed", "id_fraction": 1}))
    put(tmp_path, "crane/new.jpg")
    after = set(look(tmp_path, {"by": "seed", "id_fraction": 1}))
    assert len(before - after) <= 1


def test_split_by_list_leaves_other_labels_out(tmp_path: Path) -> None:
    ten(tmp_path, "crane", "red finch", "blue jay", "Black footed Albatross")
    split = {"by": "list", "id": ["crane", "Red_Finch"], "ood": ["blue jay"], "held_out": 0.2}
    image_index = look(tmp_path, split)
    assert image_index.counts == {"train": 16, "held_out": 4, "ood": 10, "id_labels": 2, "ood_labels": 1}
    assert 0 not in image_index.id_labels + image_index.ood_labels


def test_split_by_folders(tmp_path: Path) -> None:
    ten(tmp_path, "train/crane", "train/red finch", "val/blue jay")
    put(tmp_path, "val_on_train/crane/x.jpg")
    image_index = look(tmp_path, {"by": "folders"})
    assert image_index.counts == {"train": 20, "held_out": 1, "ood": 10, "id_labels": 2, "ood_labels": 1}
    assert image_index.items[image_index.part("held_out")[0]] == Item("val_on_train/crane/x.jpg", 1, "held_out")


def test_split_by_image_lists(tmp_path: Path) -> None:
    put(tmp_path, "crane/1.jpg", "crane/2.jpg", "red finch/1.jpg", "blue jay/1.jpg")
    (tmp_path / "train.txt").write_text("crane/1.jpg\n\nred finch/1.jpg\n")
    (tmp_path / "test.txt").write_text("crane/2.jpg\n")
    (tmp_path / "ood.txt").write_text("blue jay/1.jpg\n")
    split = {"by": "image_lists", "train": "train.txt", "held_out": "test.txt", "ood": "ood.txt"}
    image_index = look(tmp_path, split)
    assert [(i.path, LABELS[i.label], i.part) for i in image_index] == [
        ("crane/1.jpg", "crane", "train"),
        ("red finch/1.jpg", "red finch", "train"),
        ("crane/2.jpg", "crane", "held_out"),
        ("blue jay/1.jpg", "blue jay", "ood"),
    ]


def test_saved_and_loaded_is_the_same(tmp_path: Path) -> None:
    image_index = look(ten(tmp_path / "data", "crane", "red finch", "blue jay"), {"by": "seed"})
    image_index.save(tmp_path / "manifest.jsonl")
    loaded = ImageIndex.load(tmp_path / "manifest.jsonl")
    assert (loaded.root, loaded.labels, loaded.items) == (image_index.root, image_index.labels, image_index.items)
    assert loaded.digest == image_index.digest


@pytest.mark.parametrize("harm", ["cut", "altered", "empty", "not json"])
def test_a_harmed_manifest_is_refused(tmp_path: Path, harm: str) -> None:
    file = tmp_path / "manifest.jsonl"
    look(ten(tmp_path / "data", "crane", "red finch"), {"by": "seed", "id_fraction": 1}).save(file)
    lines = file.read_text().splitlines(keepends=True)
    item = json.loads(lines[1])
    altered = json.dumps([item[0], 1 - item[1] % 2, item[2]]) + "\n"
    texts = {"cut": lines[:-1], "altered": [lines[0], altered, *lines[2:]], "empty": [], "not json": ["{"]}
    file.write_text("".join(texts[harm]))
    with pytest.raises(FolderError, match=r"manifest\.jsonl") as caught:
        ImageIndex.load(file)
    assert caught.value.code == "bad_manifest"


def test_a_folder_without_a_label_is_named_and_a_map_mends_it(tmp_path: Path) -> None:
    ten(tmp_path, "crane", "grus grus")
    error = refused(tmp_path, {"by": "seed"})
    assert error.code == "folder_matches_no_label"
    assert '"grus grus"' in error.detail
    assert look(tmp_path, {"by": "seed"}, {"grus grus": "red finch"}).id_labels == (1, 2)


def test_a_map_to_an_unknown_label_is_refused(tmp_path: Path) -> None:
    error = refused(ten(tmp_path, "crane"), {"by": "seed"}, folder_map={"a/b": "heron"})
    assert (error.code, error.pointer) == ("unknown_label", "/folder_map/a~1b")


def test_ambiguous_labels_are_refused_unless_the_name_is_exact(tmp_path: Path) -> None:
    ten(tmp_path, "red_finch", "crane")
    with pytest.raises(FolderError, match="several labels") as caught:
        scan(tmp_path, ("red finch", "Red-Finch", "crane"), SPLIT.validate_python({"by": "seed"}))
    assert caught.value.code == "ambiguous"
    image_index = scan(tmp_path, ("red_finch", "Red-Finch", "crane"), SPLIT.validate_python({"by": "seed"}))
    assert image_index.id_labels == (0, 2)


def test_id_and_ood_may_not_overlap(tmp_path: Path) -> None:
    ten(tmp_path, "crane", "red finch", "train/crane", "train/red finch", "val/crane")
    by_list = refused(tmp_path / "train", {"by": "list", "id": ["crane", "red finch"], "ood": ["crane"]})
    by_folders = refused(tmp_path, {"by": "folders"})
    assert by_list.code == by_folders.code == "id_ood_overlap"
    assert '"crane"' in by_list.detail


@pytest.mark.parametrize(
    ("paths", "split", "code"),
    [
        (["crane/1.jpg"], {"by": "seed"}, "one_label"),
        ([], {"by": "seed"}, "no_images"),
        (["stray.jpg"], {"by": "seed"}, "no_images"),
        (["crane/1.jpg", "blue jay/1.gif"], {"by": "seed"}, "no_images"),
        (["crane/1.jpg"], {"by": "list", "id": ["crane", "blue jay"]}, "no_images"),
        (["crane/1.jpg"], {"by": "list", "id": ["crane", "heron"]}, "unknown_label"),
        (["crane/1.jpg", "blue jay/1.jpg"], {"by": "seed"}, "nothing_to_measure"),
        (["crane/1.jpg"], {"by": "folders"}, "no_such_folder"),
        (["val/crane/1.jpg"], {"by": "folders"}, "no_such_folder"),
        (["crane/1.jpg"], {"by": "image_lists", "train": "t.txt", "ood": "o.txt"}, "missing_list"),
        (["crane/1.jpg"], {"by": "image_lists", "train": "../t.txt", "ood": "o.txt"}, "outside_root"),
    ],
)
def test_what_is_refused(tmp_path: Path, paths: list[str], split: dict[str, object], code: str) -> None:
    root = put(tmp_path / "data", *paths)
    root.mkdir(exist_ok=True)
    assert refused(root, split).code == code


@pytest.mark.parametrize(
    ("line", "code"),
    [("crane/9.jpg", "missing_image"), ("../x.jpg", "outside_root"), ("crane/1.jpg", "image_twice")],
)
def test_a_wrong_line_of_an_image_list_is_named(tmp_path: Path, line: str, code: str) -> None:
    put(tmp_path, "crane/1.jpg", "blue jay/1.jpg")
    (tmp_path / "t.txt").write_text("crane/1.jpg\nblue jay/1.jpg\n")
    (tmp_path / "o.txt").write_text(line + "\n")
    error = refused(tmp_path, {"by": "image_lists", "train": "t.txt", "ood": "o.txt"})
    assert (error.code, error.pointer) == (code, "/split/ood")


def test_links_may_not_leave_the_folder(tmp_path: Path) -> None:
    put(tmp_path, "secret/1.jpg")
    root = ten(tmp_path / "data", "crane", "red finch")
    (root / "crane" / "ten.jpg").symlink_to(root / "red finch" / "1.jpg")
    assert len(look(root, {"by": "seed"})) == 21
    (root / "crane" / "eleven.jpg").symlink_to(tmp_path / "secret" / "1.jpg")
    assert refused(root, {"by": "seed"}).code == "link"
    (root / "crane" / "eleven.jpg").unlink()
    (root / "blue jay").symlink_to(tmp_path / "secret")
    assert refused(root, {"by": "seed"}).code == "link"


def test_a_link_to_a_folder_above_is_refused(tmp_path: Path) -> None:
    root = ten(tmp_path, "crane", "red finch")
    (root / "crane" / "again").symlink_to(root / "crane")
    assert refused(root, {"by": "seed"}).code == "link"


def test_an_image_list_needs_something_to_measure_on() -> None:
    with pytest.raises(ValidationError, match="held_out or ood"):
        SPLIT.validate_python({"by": "image_lists", "train": "t.txt"})
