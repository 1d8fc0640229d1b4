"""Listing image files and matching folders to labels: links, image lists, normal form, folder_map, ambiguous names."""

from pathlib import Path

import pytest

from distill.data.dataset.scan import scan
from distill.data.image_folders import FolderError
from distill.data.splits import SPLIT
from limbeck.shared.label_matching import dataset_form
from tests.distill.data.helpers_index import create, create_ten, scan_error, scan_with


@pytest.mark.parametrize(
    ("line", "code"),
    [("crane/9.jpg", "missing_image"), ("../x.jpg", "outside_root"), ("crane/1.jpg", "image_twice")],
)
def test_wrong_line_of_an_image_list_is_named(tmp_path: Path, line: str, code: str) -> None:
    create(tmp_path, "crane/1.jpg", "blue jay/1.jpg")
    (tmp_path / "t.txt").write_text("crane/1.jpg\nblue jay/1.jpg\n")
    (tmp_path / "o.txt").write_text(line + "\n")
    error = scan_error(tmp_path, {"by": "image_lists", "train": "t.txt", "ood": "o.txt"})
    assert (error.code, error.pointer) == (code, "/split/ood")


def test_links_may_not_leave_the_folder(tmp_path: Path) -> None:
    create(tmp_path, "secret/1.jpg")
    root = create_ten(tmp_path / "data", "crane", "red finch")
    (root / "crane" / "ten.jpg").symlink_to(root / "red finch" / "1.jpg")
    assert len(scan_with(root, {"by": "seed"})) == 21
    (root / "crane" / "eleven.jpg").symlink_to(tmp_path / "secret" / "1.jpg")
    assert scan_error(root, {"by": "seed"}).code == "link"
    (root / "crane" / "eleven.jpg").unlink()
    (root / "blue jay").symlink_to(tmp_path / "secret")
    assert scan_error(root, {"by": "seed"}).code == "link"


def test_link_to_a_parent_folder_is_refused(tmp_path: Path) -> None:
    root = create_ten(tmp_path, "crane", "red finch")
    (root / "crane" / "again").symlink_to(root / "crane")
    assert scan_error(root, {"by": "seed"}).code == "link"


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
def test_normalised_names_are_equal(folder: str, label: str) -> None:
    assert dataset_form(folder) == dataset_form(label)


def test_normalisation_keeps_different_names_different() -> None:
    assert dataset_form("crane 2") != dataset_form("crane")
    assert dataset_form("747") == "747"


def test_unmatched_folder_is_named_and_folder_map_matches_it(tmp_path: Path) -> None:
    create_ten(tmp_path, "crane", "grus grus")
    error = scan_error(tmp_path, {"by": "seed"})
    assert error.code == "folder_matches_no_label"
    assert '"grus grus"' in error.detail
    assert scan_with(tmp_path, {"by": "seed"}, {"grus grus": "red finch"}).id_labels == (1, 2)


def test_folder_map_to_unknown_label_is_refused(tmp_path: Path) -> None:
    error = scan_error(create_ten(tmp_path, "crane"), {"by": "seed"}, folder_map={"a/b": "heron"})
    assert (error.code, error.pointer) == ("unknown_label", "/folder_map/a~1b")


def test_ambiguous_labels_are_refused_unless_the_name_is_exact(tmp_path: Path) -> None:
    create_ten(tmp_path, "red_finch", "crane")
    with pytest.raises(FolderError, match="several labels") as caught:
        scan(tmp_path, ("red finch", "Red-Finch", "crane"), SPLIT.validate_python({"by": "seed"}))
    assert caught.value.code == "ambiguous"
    image_index = scan(tmp_path, ("red_finch", "Red-Finch", "crane"), SPLIT.validate_python({"by": "seed"}))
    assert image_index.id_labels == (0, 2)
