"""Images with several labels: refused, or used by choice; no image is trained on and measured."""

from pathlib import Path
from typing import Any

import pytest

from distill.data.dataset.several_labels import one_part_each
from distill.data.image_index import Item
from tests.distill.data.helpers_index import LABELS
from tests.distill.data.layouts.helpers_tables import create_images, scan_source, source_error

ROWS = {"a.jpg": "crane|red finch", "b.jpg": "crane", "c.jpg": "red finch", "d.jpg": "blue jay|crane|blue jay"}


def write(root: Path, form: str) -> Path:
    """The same labels in one cell with separators, as lists, or in several rows."""
    create_images(root)
    if form == "cells":
        (root / "t.csv").write_text("image,label\n" + "".join(f"{image},{label}\n" for image, label in ROWS.items()))
    elif form == "lists":
        records = (
            f'{{"image": "{image}", "label": {str(label.split("|")).replace(chr(39), chr(34))}}}'
            for image, label in ROWS.items()
        )
        (root / "t.jsonl").write_text("\n".join(records))
    else:
        rows = (f"{image},{label}\n" for image, cell in ROWS.items() for label in cell.split("|"))
        (root / "t.csv").write_text("image,label\n" + "".join(rows))
    return root


def labels(root: Path, **source: Any) -> list[tuple[str, str]]:
    return [(item.path[0], LABELS[item.label]) for item in scan_source(root, **source).image_index]


@pytest.mark.parametrize("form", ["cells", "lists", "rows"])
@pytest.mark.image_input(
    "Duplicates and labels without images", "images with several labels", "refused; or `first`, `each` or `leave_out`"
)
def test_images_with_several_labels(tmp_path: Path, form: str) -> None:
    write(tmp_path, form)
    source = {"label_separator": "|"}
    error = source_error(tmp_path, **source)
    assert (error.code, error.pointer) == ("several_labels", "/images/several_labels")
    assert '2 of 4 images have several labels, the first is "a.jpg" ("crane", "red finch")' in error.detail
    single = [("b", "crane"), ("c", "red finch")]
    assert labels(tmp_path, **source, several_labels="leave_out") == single
    assert labels(tmp_path, **source, several_labels="first") == [("a", "crane"), *single, ("d", "blue jay")]
    each = labels(tmp_path, **source, several_labels="each")
    assert sorted(each) == [
        ("a", "crane"),
        ("a", "red finch"),
        *single,
        ("d", "blue jay"),
        ("d", "crane"),
    ]


def test_without_a_separator_a_cell_is_one_label(tmp_path: Path) -> None:
    assert '"crane|red finch" matches no label' in source_error(write(tmp_path, "cells")).detail


@pytest.mark.image_input(
    "Splits and evaluation", "an image with a label of training and an unseen one", "is not used as an OOD image"
)
def test_image_with_seen_and_unseen_label_is_not_ood(tmp_path: Path) -> None:
    write(tmp_path, "cells")
    split = {"by": "list", "id": ["crane", "red finch"], "ood": ["blue jay"], "held_out": 0}
    (tmp_path / "e.jpg").write_bytes(b"")
    with (tmp_path / "t.csv").open("a") as out:
        out.write("e.jpg,blue jay\n")
    scanned = scan_source(tmp_path, split, label_separator="|", several_labels="each")
    parts = {(item.path[0], LABELS[item.label]): item.part for item in scanned.image_index}
    assert parts == {
        ("a", "crane"): "train",
        ("a", "red finch"): "train",
        ("b", "crane"): "train",
        ("c", "red finch"): "train",
        ("d", "crane"): "train",
        ("e", "blue jay"): "ood",
    }
    assert "1 OOD image is left out because of another label, which is trained on" in scanned.listing.notes


def test_no_image_is_in_two_parts() -> None:
    items = [
        Item("a", 0, "train"),
        Item("a", 1, "held_out"),
        Item("b", 0, "held_out"),
        Item("b", 2, "ood"),
        Item("c", 1, "held_out"),
    ]
    notes: list[str] = []
    kept = one_part_each(items, notes)
    assert kept == [Item("a", 0, "train"), Item("a", 1, "train"), Item("b", 0, "held_out"), Item("c", 1, "held_out")]
    assert len(notes) == 2
    assert one_part_each(kept, notes) == kept
    assert len(notes) == 2


def test_random_split_with_many_labels_keeps_each_image_in_one_part(tmp_path: Path) -> None:
    names = [f"{number}.jpg" for number in range(60)]
    create_images(tmp_path, names=tuple(names))
    rows = "".join(f"{name},{LABELS[at % 4]}|{LABELS[(at // 4) % 4]}\n" for at, name in enumerate(names))
    (tmp_path / "t.csv").write_text(f"image,label\n{rows}")
    scanned = scan_source(tmp_path, {"by": "seed"}, label_separator="|", several_labels="each")
    parts: dict[str, set[str]] = {}
    for item in scanned.image_index:
        parts.setdefault(item.path, set()).add(item.part)
    assert all(len(found) == 1 for found in parts.values())
    assert set().union(*parts.values()) == {"train", "held_out", "ood"}
    numbers = scanned.image_index.image_numbers
    assert numbers is not None
    assert len(set(numbers)) == len(parts) < len(numbers)
