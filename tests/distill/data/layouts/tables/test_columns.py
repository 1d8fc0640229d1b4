"""Columns of tables: recognised by header and values, given by name or number; nothing is guessed."""

from pathlib import Path
from typing import Any

import pytest

from tests.distill.data.layouts.helpers_tables import PAIRS, create_images, pairs, scan_source, source_error


def write(root: Path, header: str, *columns: list[str]) -> Path:
    """A table with a row for each image: its path, its label, and further columns."""
    rows = zip(PAIRS, PAIRS.values(), *columns, strict=True)
    create_images(root)
    (root / "t.csv").write_text(f"{header}\n" + "".join(",".join(row) + "\n" for row in rows))
    return root


NUMBERS = ["0", "0", "1", "2"]


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        ("file_name,category", []),
        ("Image Path,Species", []),
        ("filepaths,labels,data set", [["train"] * 4]),
        pytest.param(
            "img,label_name,label",
            [NUMBERS],
            marks=pytest.mark.image_input(
                "Layouts and tables", "a column of names beside one of numbers", "the names are the labels"
            ),
        ),
        ("img,class,class_id", [NUMBERS]),
        ("img,display_name,label", [["n1", "n1", "n2", "n3"]]),
        ("anything,label,mask", [["x", "y", "z", "u"]]),
    ],
)
def test_columns_are_recognised(tmp_path: Path, header: str, columns: list[list[str]]) -> None:
    assert pairs(scan_source(write(tmp_path, header, *columns))) == PAIRS


@pytest.mark.parametrize(
    "given", [{"image": "u", "label": "v"}, {"image": 0, "label": 1}, {"image": "U", "label": "v"}]
)
def test_columns_can_be_given(tmp_path: Path, given: dict[str, Any]) -> None:
    write(tmp_path, "u,v,label", ["x"] * 4)
    assert pairs(scan_source(tmp_path, file="t.csv", columns=given)) == PAIRS


@pytest.mark.parametrize(
    ("header", "columns", "given", "code", "message"),
    [
        pytest.param(
            "image,label,category",
            [["x"] * 4],
            {},
            "ambiguous_columns",
            'several columns that could be the label ("label", "category"): give images.columns.label',
            marks=pytest.mark.image_input(
                "Layouts and tables",
                "a table with two possible label columns",
                "refused; the columns are named",
            ),
        ),
        ("file_name,label,path", [list(PAIRS)], {}, "ambiguous_columns", "could be the image"),
        ("image,label", [], {"label": "species"}, "no_column", 'no column "species": its columns are "image", "label"'),
        ("image,label", [], {"label": 2}, "no_column", "t.csv has 2 columns, and none has the number 2"),
        ("image,label,Label", [["x"] * 4], {"label": "LABEL"}, "no_column", 'several columns "LABEL"'),
    ],
    ids=["labels", "images", "name", "number", "case"],
)
def test_nothing_is_guessed(
    tmp_path: Path, header: str, columns: list[list[str]], given: dict[str, Any], code: str, message: str
) -> None:
    error = source_error(write(tmp_path, header, *columns), file="t.csv", columns=given)
    assert error.code == code
    assert message in error.detail
    assert error.pointer.startswith("/images/columns/")


def test_table_without_images_is_refused(tmp_path: Path) -> None:
    create_images(tmp_path)
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    assert source_error(tmp_path, file="t.csv").code == "no_column"


@pytest.mark.image_input("Layouts and tables", "a table without a header", "read if only one other column has values")
def test_columns_without_a_header(tmp_path: Path) -> None:
    create_images(tmp_path)
    (tmp_path / "t.csv").write_text("".join(f"{image},7,{label}\n" for image, label in PAIRS.items()))
    assert 'could be the label (1 (such as "7"), 2 (such as "crane"))' in source_error(tmp_path, file="t.csv").detail
    assert pairs(scan_source(tmp_path, file="t.csv", columns={"label": 2})) == PAIRS
