"""Listing image files: links stay inside the folder, and wrong lines of image lists are named."""

from pathlib import Path

import pytest

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
