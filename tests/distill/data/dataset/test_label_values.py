"""Label values that are numbers or ids: never guessed, named by a file or counted from a stated number."""

from pathlib import Path
from typing import Any

import pytest

from tests.distill.data.helpers_index import create
from tests.distill.data.layouts.helpers_tables import PAIRS, create_images, pairs, scan_source, source_error


def write(root: Path, numbers: list[str]) -> Path:
    create_images(root)
    rows = "".join(f'{image},"{number}"\n' for image, number in zip(PAIRS, numbers, strict=True))
    (root / "t.csv").write_text(f"image,label\n{rows}")
    return root


FROM_0, FROM_1, WNIDS = ["1", "1", "2", "3"], ["2", "2", "3", "4"], ["n02", "n02", "n03", "n04"]


@pytest.mark.image_input(
    "Layouts and tables", "labels that are numbers", "refused, unless a file names them or `labels_are` says the first"
)
def test_numbers_are_refused_with_the_remedy(tmp_path: Path) -> None:
    error = source_error(write(tmp_path, FROM_0))
    assert (error.code, error.pointer) == ("folder_matches_no_label", "/images/labels_are")
    assert "the labels are numbers: give images.label_names" in error.detail


@pytest.mark.image_input(
    "Layouts and tables",
    "several labels in one cell, without `label_separator`",
    "refused; the error has the separator",
)
@pytest.mark.parametrize(
    ("cell", "remedy"),
    [
        ("crane|red finch", 'each of them is several labels: give images.label_separator "|"'),
        ("blue jay; crane;", 'give images.label_separator ";"'),
        ("['crane', 'heron']", "give images.label_separator, or give the table as JSON Lines"),
        ("crane|dodo", ""),
    ],
)
def test_several_labels_in_one_text_are_refused_with_the_remedy(tmp_path: Path, cell: str, remedy: str) -> None:
    error = source_error(write(tmp_path, ["crane", cell, "red finch", "red finch"]), several_labels="all")
    assert error.code == "folder_matches_no_label"
    assert error.detail.endswith(remedy)
    assert (error.pointer == "/images/label_separator") == bool(remedy)


@pytest.mark.parametrize("folder", ["crane, heron", "red finch crane", "[dodo]"])
def test_a_folder_whose_name_holds_labels_is_no_list(tmp_path: Path, folder: str) -> None:
    """Class folders refuse a separator."""
    create_images(tmp_path / "crane")
    create_images(tmp_path / folder)
    error = source_error(tmp_path)
    assert error.code == "folder_matches_no_label"
    assert (error.pointer == "/images/label_separator", "images.label_separator" in error.detail) == (False, False)


@pytest.mark.parametrize(("base", "numbers"), [("indices_from_0", FROM_0), ("indices_from_1", FROM_1)])
def test_numbers_count_the_vocabulary_if_the_source_says_so(tmp_path: Path, base: str, numbers: list[str]) -> None:
    assert pairs(scan_source(write(tmp_path, numbers), labels_are=base)) == PAIRS


def test_numbers_that_seem_to_count_from_1_are_noted_or_refused(tmp_path: Path) -> None:
    scanned = scan_source(write(tmp_path, FROM_0), labels_are="indices_from_0")
    assert "no image has the index 0: do the indices count from 1?" in scanned.listing.notes
    error = source_error(write(tmp_path, FROM_1), labels_are="indices_from_0")
    assert (error.code, error.pointer) == ("bad_index", "/images/labels_are")
    assert '1 label is no index from 0 to 3 ("4")' in error.detail


@pytest.mark.parametrize(
    ("numbers", "names", "source"),
    [
        (FROM_0, "id,name\n3,blue jay\n1,crane\n2,red finch\n", {}),
        (FROM_0, "1 crane\n2 red finch\n3 blue jay\n", {}),
        (FROM_1, "heron\ncrane\nred finch\nblue jay\n", {"labels_are": "indices_from_1"}),
        (
            ["n02012849", "n02012849", "n01531178", "n01580077"],
            "n02012849 crane\nn01531178 red finch\nn01580077 blue jay\n",
            {},
        ),
    ],
    ids=["csv", "numbered", "lines", "wordnet"],
)
@pytest.mark.image_input(
    "Layouts and tables", "a file with the names of numbers or WordNet ids (`label_names`)", "the labels are its names"
)
def test_a_label_file_names_the_values(tmp_path: Path, numbers: list[str], names: str, source: dict[str, Any]) -> None:
    (write(tmp_path, numbers) / "classes.txt").write_text(names)
    assert pairs(scan_source(tmp_path, label_names="classes.txt", file="t.csv", **source)) == PAIRS


@pytest.mark.parametrize(
    ("names", "code", "message"),
    [
        ("crane\nred finch\n", "bad_index", "has no id for each label of the images"),
        ("1 crane\n2 red finch\n", "bad_index", "has no id for each label"),
        ("", "bad_table", "classes.txt has no labels"),
        (None, "missing_table", 'there is no file "classes.txt"'),
    ],
    ids=["no_ids", "one_lacks", "empty", "missing"],
)
def test_unusable_names_are_refused(tmp_path: Path, names: str | None, code: str, message: str) -> None:
    write(tmp_path, FROM_0)
    if names is not None:
        (tmp_path / "classes.txt").write_text(names)
    error = source_error(tmp_path, label_names="classes.txt", file="t.csv")
    assert (error.code, error.pointer) == (code, "/images/label_names")
    assert message in error.detail


@pytest.mark.image_input(
    "Files, folders and shards",
    "class folders named `0`, `1`, …",
    "indices, if `labels_are` says so",
)
def test_class_folders_can_be_indices(tmp_path: Path) -> None:
    create(tmp_path, "1/a.jpg", "2/a.jpg")
    assert pairs(scan_source(tmp_path, labels_are="indices_from_0")) == {"1/a.jpg": "crane", "2/a.jpg": "red finch"}
    assert "the labels are numbers" in source_error(tmp_path).detail


@pytest.mark.image_input("Layouts and tables", "indices that pandas wrote as `1.0`", "are the indices")
def test_indices_with_a_decimal_point(tmp_path: Path) -> None:
    create_images(tmp_path)
    (tmp_path / "t.csv").write_text("file,label\na.jpg,1.0\nb.jpg,2.0\n", encoding="utf-8")
    assert source_error(tmp_path).pointer == "/images/labels_are"
    assert pairs(scan_source(tmp_path, labels_are="indices_from_0")) == {"a.jpg": "crane", "b.jpg": "red finch"}
