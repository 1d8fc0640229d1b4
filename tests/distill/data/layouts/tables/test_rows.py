"""Rows of tables: every form of file gives the same images and labels; damaged files are named with their line."""

import json
from pathlib import Path
from typing import Any

import pytest

from distill.data.layouts.tables.rows import split_line
from tests.distill.data.layouts.helpers_tables import PAIRS, create_images, pairs, scan_source, source_error

RECORDS = [{"image": image, "label": label} for image, label in PAIRS.items()]
CSV = "image,label\n" + "".join(f"{image},{label}\n" for image, label in PAIRS.items())


def row(given: str, handling: str) -> pytest.MarkDecorator:
    return pytest.mark.image_input("Layouts and tables", given, handling)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param(
            "t.csv",
            CSV.encode(),
            id="csv",
            marks=row("a CSV table", "read; paths are relative to it"),
        ),
        pytest.param(
            "t.csv",
            CSV.replace(",", ";").encode("utf-16"),
            id="semicolons",
            marks=row("a table in UTF-16 with semicolons", "read as any other"),
        ),
        pytest.param("t.csv", b"sep=;\r\n" + CSV.replace(",", ";").replace("\n", "\r\n").encode(), id="excel"),
        pytest.param("t.csv", b"\xef\xbb\xbf" + CSV.replace("\n", ",,\n").encode(), id="empty_columns"),
        pytest.param("t.csv", CSV.partition("\n")[2].encode(), id="no_header"),
        pytest.param("t.tsv", CSV.replace(",", "\t").encode(), id="tsv", marks=row("a TSV table", "read")),
        pytest.param(
            "t.jsonl",
            "\n".join(map(json.dumps, RECORDS)).encode(),
            id="jsonl",
            marks=row("a JSON Lines table", "read"),
        ),
        pytest.param(
            "t.json", json.dumps(RECORDS).encode(), id="json", marks=row("a JSON list of objects", "read as a table")
        ),
        pytest.param("t.json", json.dumps({"data": RECORDS, "version": 1}).encode(), id="wrapped"),
        pytest.param(
            "t.json",
            json.dumps(PAIRS).encode(),
            id="mapping",
            marks=row("JSON of image → label", "read as a table"),
        ),
        pytest.param("t.json", json.dumps({image: {"label": PAIRS[image]} for image in PAIRS}).encode(), id="mapping2"),
        pytest.param(
            "t.txt",
            "\n".join(f"{image} {label}" for image, label in PAIRS.items()).encode(),
            id="list",
            marks=row("a list of `path label` lines (`.txt`, `.lst`)", "read; paths and labels can have spaces"),
        ),
        pytest.param("t.lst", "\n".join(f"{image}\t{label}" for image, label in PAIRS.items()).encode(), id="tabs"),
        pytest.param("t.txt", CSV.encode(), id="csv_as_txt"),
    ],
)
def test_every_form_gives_the_same_labels(tmp_path: Path, name: str, content: bytes) -> None:
    create_images(tmp_path)
    (tmp_path / name).write_bytes(content)
    assert pairs(scan_source(tmp_path)) == PAIRS
    assert pairs(scan_source(tmp_path, file=name)) == PAIRS


@pytest.mark.image_input("Layouts and tables", "a Parquet table of paths", "read with pyarrow, the extra `datasets`")
def test_parquet_table_of_paths(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    create_images(tmp_path)
    parquet.write_table(pyarrow.Table.from_pylist(RECORDS), tmp_path / "t.parquet")
    assert pairs(scan_source(tmp_path)) == PAIRS


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"image,label\na.jpg,crane,3\n", "t.csv line 2 has 3 fields, and the first row has 2"),
        ("t.csv", b"image,label,part\na.jpg,crane\n", "t.csv line 2 has 2 fields, and the first row has 3"),
        ("t.csv", b'image,label\na.jpg,"crane\n', "t.csv line 2 is malformed CSV"),
        ("t.csv", b"image,label\n", "t.csv has no rows"),
        ("t.jsonl", b'{"image": "a.jpg"}\n{"image"\n', "t.jsonl line 2 is not JSON"),
        ("t.json", b'{"images": [], "annotations": [], "categories": []}', "is an annotation file of COCO"),
        ("t.json", b"[1, 2]", "t.json is no table"),
        ("t.json", b"[" * 200_000 + b"]" * 200_000, "t.json is nested too deeply"),
        ("t.xlsx", b"PK\x03\x04" + bytes(40), "zip file, not a table of images"),
        pytest.param(
            "t.csv",
            b"\xd0\xcf\x11\xe0" + bytes(40),
            "is an old Excel or Word file, not a table of images: save its content as CSV",
            marks=row("an Excel workbook", "refused: save the sheet as CSV"),
        ),
    ],
    ids=["wide", "narrow", "quote", "empty", "jsonl", "coco", "json", "nested", "zip", "excel"],
)
def test_damaged_tables_are_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    create_images(tmp_path)
    (tmp_path / name).write_bytes(content)
    error = source_error(tmp_path, file=name)
    assert error.code == "bad_table"
    assert message in error.detail


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("my crane.jpg red finch", ("my crane.jpg", "red finch")),
        ("/a/abbey/x.JPEG 0", ("/a/abbey/x.JPEG", "0")),
        ("a.jpg, files/b.png;3", ("a.jpg, files/b.png", "3")),
        (" a.jpg ", ("a.jpg", "")),
        ("a.jpg.txt 3", None),
        ("3 crane", None),
    ],
)
def test_lines_of_lists(line: str, expected: Any) -> None:
    assert split_line(line) == expected
