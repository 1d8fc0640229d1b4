"""Multi-label datasets: an image is one row with a set of labels, and none with an unseen label is trained on."""

import json
from pathlib import Path
from typing import Any

import pytest

from distill.data.dataset.scan import match_dataset
from distill.data.dataset.trained_on import TrainedOn
from distill.data.dataset_check.check import DatasetCheck, check_dataset
from distill.data.image_index import ImageIndex, Item
from distill.data.image_source import ImageSource
from distill.data.splits import LABEL_SET, NO_LABEL, SPLIT
from tests.distill.data.dataset.test_several_labels import ROWS, write
from tests.distill.data.helpers_index import LABELS
from tests.distill.data.layouts.helpers_tables import create_images, scan_source, source_error
from tests.images import tiny_image

CELLS = {"label_separator": "|", "several_labels": "all"}
SETS = {name[0]: set(label.split("|")) for name, label in ROWS.items()}


def sets_of(index: ImageIndex) -> dict[str, set[str]]:
    return {Path(item.path).stem: {LABELS[label] for label in item.all_labels} for item in index}


def parts_of(index: ImageIndex) -> dict[str, str]:
    return {item.path[0]: item.part for item in index}


@pytest.mark.parametrize("form", ["cells", "lists", "rows"])
@pytest.mark.image_input("Duplicates and labels without images", "images with several labels, `all`", "a set of labels")
def test_each_image_is_one_row_with_its_labels(tmp_path: Path, form: str) -> None:
    scanned = scan_source(write(tmp_path, form), **CELLS)
    index = scanned.image_index
    assert sets_of(index) == SETS
    assert set(index.label_indices) == {LABEL_SET}
    assert index.image_numbers is None  # no image has several rows
    assert index.labels_per_image == 1.5
    assert "multi-label: 4 images have 1.50 labels on average" in scanned.listing.notes


def test_a_column_for_each_label(tmp_path: Path) -> None:
    create_images(tmp_path)
    rows = {"a": "1,1,0", "b": "1.0,0,", "c": "false,True,0", "d": "1,0,1"}
    content = "image,crane,red finch,blue jay\n" + "".join(f"{name}.jpg,{row}\n" for name, row in rows.items())
    (tmp_path / "t.csv").write_text(content)
    columns = {"labels": ["crane", "red finch", "blue jay"]}
    assert sets_of(scan_source(tmp_path, columns=columns, several_labels="all").image_index) == SETS
    # Behind the rows by which the columns are recognised.
    (tmp_path / "t.csv").write_text(content + 300 * "a.jpg,1,1,0\n" + "d.jpg,1,-1,1\n")
    error = source_error(tmp_path, columns=columns, several_labels="all")
    assert error.code == "bad_table"
    assert 'the column "red finch" holds "-1": give 1 for a label that the image shows' in error.detail


def test_minus_one_is_an_absent_label_only_in_a_table_without_0_and_empty_cells(tmp_path: Path) -> None:
    create_images(tmp_path)
    rows = {"a": "1,1,-1", "b": "1.0,-1.0,-1", "c": "-1,1,-1", "d": "1,-1,1"}
    content = "image,crane,red finch,blue jay\n" + "".join(f"{name}.jpg,{row}\n" for name, row in rows.items())
    (tmp_path / "t.csv").write_text(content)
    source: dict[str, Any] = {"columns": {"labels": ["crane", "red finch", "blue jay"]}, "several_labels": "all"}
    assert sets_of(scan_source(tmp_path, **source).image_index) == SETS
    (tmp_path / "t.csv").write_text(content + 300 * "a.jpg,1,1,-1\n" + "d.jpg,1,,1\n")
    assert "give 1 for a label that the image shows, and -1 for another" in source_error(tmp_path, **source).detail
    (tmp_path / "t.csv").write_text(content + "d.jpg,1,0,1\n")
    assert 'holds "-1": give 1 for a label that the image shows, and 0' in source_error(tmp_path, **source).detail


def test_several_columns_with_a_label_each(tmp_path: Path) -> None:
    create_images(tmp_path)
    rows = "".join(f"{name},{','.join((*dict.fromkeys(label.split('|')), '')[:2])}\n" for name, label in ROWS.items())
    (tmp_path / "t.csv").write_text("image,first,second\n" + rows)
    scanned = scan_source(tmp_path, columns={"labels": ["first", "second"]}, several_labels="all")
    assert sets_of(scanned.image_index) == SETS
    assert 't.csv: image "image", labels "first" "second"' in scanned.listing.notes
    error = source_error(tmp_path, columns={"label": "first", "labels": ["second"]})
    assert (error.code, error.pointer) == ("ambiguous_columns", "/images/columns/labels")


def test_coco_instances(tmp_path: Path) -> None:
    create_images(tmp_path, "train2017")
    content = {
        "images": [{"id": at, "file_name": f"{name}.jpg"} for at, name in enumerate("abcd")],
        "categories": [{"id": 7 + at, "name": name} for at, name in enumerate(LABELS)],
        "annotations": [
            {"id": 0, "image_id": at, "category_id": 7 + LABELS.index(label), "bbox": [0, 0, 1, 1]}
            for at, name in enumerate("abcd")
            for label in (*sorted(SETS[name]), *sorted(SETS[name]))
        ],
    }
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances_train2017.json").write_text(json.dumps(content))
    assert sets_of(scan_source(tmp_path, several_labels="all").image_index) == SETS


def test_an_image_with_an_unseen_label_is_not_trained_on(tmp_path: Path) -> None:
    """d shows a seen label and the unseen one."""
    split = {"by": "list", "id": ["crane", "red finch"], "ood": ["blue jay"], "held_out": 0}
    index = scan_source(write(tmp_path, "cells"), split, **CELLS).image_index
    assert parts_of(index) == {"a": "train", "b": "train", "c": "train", "d": "ood"}
    assert [LABELS[at] for at in index.id_labels] == ["crane", "red finch"]
    assert [LABELS[at] for at in index.ood_labels] == ["blue jay"]  # crane is seen, although d is OOD
    assert index.counts["ood"] == 1


def test_labels_that_a_list_does_not_name_are_taken_from_the_sets(tmp_path: Path) -> None:
    split = {"by": "list", "id": ["crane", "red finch"], "held_out": 0.3}
    index = scan_source(write(tmp_path, "cells"), split, **CELLS).image_index
    assert sets_of(index)["d"] == {"crane"}
    assert set(parts_of(index).values()) == {"train", "held_out"}


def test_a_listed_label_without_an_image_of_its_own_is_refused(tmp_path: Path) -> None:
    split = {"by": "list", "id": ["crane", "red finch", "blue jay"], "ood": ["Black footed Albatross"]}
    write(tmp_path, "cells")
    with (tmp_path / "t.csv").open("a") as out:
        out.write("d.jpg,Black footed Albatross\n")
    error = source_error(tmp_path, split, **CELLS)
    assert (error.code, error.pointer) == ("no_images", "/split/id")
    assert '"blue jay": each image also shows an unseen label' in error.detail
    split = {"by": "list", "id": ["blue jay", "crane"], "ood": ["red finch", "Black footed Albatross"]}
    (tmp_path / "t.csv").write_text("image,label\na.jpg,crane|red finch\nd.jpg,blue jay|Black footed Albatross\n")
    error = source_error(tmp_path, split, **CELLS)
    assert (error.code, error.pointer) == ("no_images", "/split")
    assert "each of the 2 images shows an unseen label" in error.detail


@pytest.mark.parametrize("seed", range(5))
def test_random_split_of_many_images(tmp_path: Path, seed: int) -> None:
    names = [f"{number}.jpg" for number in range(60)]
    create_images(tmp_path, names=tuple(names))
    rows = "".join(f"{name},{LABELS[at % 4]}|{LABELS[(at // 4) % 4]}\n" for at, name in enumerate(names))
    (tmp_path / "t.csv").write_text(f"image,label\n{rows}")
    index = scan_source(tmp_path, {"by": "seed", "seed": seed}, **CELLS).image_index
    assert len(index) == 60
    unseen = set(index.ood_labels)
    assert len(unseen) == len(index.id_labels) == 2
    for item in index:
        assert (item.part == "ood") == bool(unseen.intersection(item.labels))
    assert index.labels_of("train") == set(index.id_labels)
    num_seen = index.counts["train"] + index.counts["held_out"]
    assert index.counts["held_out"] == round(0.3 * num_seen)


def test_a_rare_label_keeps_its_training_image(tmp_path: Path) -> None:
    names = [f"{number}.jpg" for number in range(12)]
    create_images(tmp_path, names=tuple(names))
    rows = "".join(f"{name},crane|red finch{'|blue jay' if name == '3.jpg' else ''}\n" for name in names)
    (tmp_path / "t.csv").write_text(f"image,label\n{rows}")
    for seed in range(8):
        split = {"by": "list", "id": ["crane", "red finch", "blue jay"], "held_out": 0.9, "seed": seed}
        parts = {item.path: item.part for item in scan_source(tmp_path, split, **CELLS).image_index}
        assert parts["3.jpg"] == "train"
        assert "held_out" in parts.values()


def test_parts_of_the_layout(tmp_path: Path) -> None:
    create_images(tmp_path)
    rows = {"a": ("crane|red finch", "train"), "b": ("crane", "test"), "c": ("red finch", "train")}
    content = "".join(f"{name}.jpg,{label},{part}\n" for name, (label, part) in rows.items())
    (tmp_path / "t.csv").write_text(f"image,label,split\n{content}d.jpg,blue jay|crane,test\n")
    index = scan_source(tmp_path, {"by": "parts"}, **CELLS).image_index
    assert parts_of(index) == {"a": "train", "b": "held_out", "c": "train", "d": "ood"}


def test_the_index_survives_a_file(tmp_path: Path) -> None:
    items = [
        Item("z.jpg", NO_LABEL, "unlabelled"),
        Item("ä.jpg", LABEL_SET, "train", "a crane", (0, 2)),
        Item("b.jpg", LABEL_SET, "held_out", None, (2,)),
        Item("c.jpg", NO_LABEL, "unlabelled"),
    ]
    index = ImageIndex.of(tmp_path, LABELS, items)
    index.save(tmp_path / "index.jsonl")
    loaded = ImageIndex.load(tmp_path / "index.jsonl")
    assert loaded.items == items
    assert loaded.digest == index.digest
    assert loaded.num_images_of_labels == {NO_LABEL: 2, 0: 1, 2: 2}
    other = ImageIndex.of(tmp_path, LABELS, [*items[:2], items[2]._replace(labels=(1,)), items[3]])
    assert other.digest != index.digest


@pytest.mark.parametrize(
    "item",
    [Item("a", LABEL_SET, "train", None, (9,)), Item("a", 1, "train", None, (1,)), Item("a", LABEL_SET, "train")],
)
def test_sets_that_do_not_fit_are_refused(item: Item) -> None:
    with pytest.raises(ValueError, match="there are 4 labels|do not fit the 4 labels"):
        ImageIndex.of("/", LABELS, [item])


def test_one_label_and_sets_do_not_mix() -> None:
    with pytest.raises(ValueError, match="give all of them sets"):
        ImageIndex.of("/", LABELS, [Item("a", LABEL_SET, "train", None, (1,)), Item("b", 1, "train")])


def test_what_a_student_was_trained_on_decides_the_parts() -> None:
    items = [
        Item("a", LABEL_SET, "ood", None, (1, 2)),
        Item("b", LABEL_SET, "held_out", None, (1, 3)),
        Item("c", LABEL_SET, "held_out", None, (0, 3)),
        Item("d", LABEL_SET, "train", None, (1,)),
    ]
    index = TrainedOn(("crane", "red finch", LABELS[0])).split(ImageIndex.of("/", LABELS, items))
    assert [(item.path, item.part, tuple(item.labels)) for item in index] == [
        ("a", "held_out", (1, 2)),
        ("b", "ood", (1, 3)),
        ("c", "ood", (3,)),  # the albatross is seen, but no held-out image shows it
    ]
    assert index.ood_labels == (3,)


def check(root: Path, split: dict[str, Any], **options: Any) -> Any:
    source = ImageSource.model_validate(CELLS)
    matched = match_dataset(root, LABELS, SPLIT.validate_python(split), None, source)
    options = DatasetCheck.model_validate(options)
    return check_dataset(matched, SPLIT.validate_python(split), options, cache=root / "cache", num_workers=1)


def test_the_check_keeps_sets_and_reports_them(tmp_path: Path) -> None:
    create_images(tmp_path)
    for name in "abcde":
        (tmp_path / f"{name}.jpg").write_bytes(tiny_image(name))
    (tmp_path / "b.jpg").write_bytes((tmp_path / "d.jpg").read_bytes())  # the same picture under other labels
    rows = {**ROWS, "e.jpg": "blue jay"}
    (tmp_path / "t.csv").write_text("image,label\n" + "".join(f"{image},{label}\n" for image, label in rows.items()))
    split = {"by": "list", "id": ["crane", "red finch"], "ood": ["blue jay"], "held_out": 0}
    checked = check(tmp_path, split, duplicates="keep")
    assert sets_of(checked.image_index) == {**SETS, "e": {"blue jay"}}
    report = checked.report
    assert report.labels_per_image.model_dump() == {"min": 1, "mean": 7 / 5, "max": 2, "num_several": 2}
    found = report.duplicate_images.exact
    assert (found.num_groups, found.seen_and_unseen, found.contradictory) == (1, 1, 1)
    assert {image.label for image in found.examples[0]} == {"crane", "crane, blue jay"}
    moved = check(tmp_path, split, duplicates="move")
    assert "d" not in sets_of(moved.image_index)
