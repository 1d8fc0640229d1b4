"""Tables as a layout: recognised, joined over rows and parts, never mixed with class folders."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from distill.data.image_files.location import read_image
from distill.data.layouts.tables.paths import Folder, ImagePaths
from tests.distill.data.helpers_index import create, create_ten
from tests.distill.data.layouts.helpers_tables import IMAGES, PAIRS, create_images, pairs, scan_source, source_error


def row(given: str, handling: str) -> pytest.MarkDecorator:
    return pytest.mark.image_input("Layouts and tables", given, handling)


def write(root: Path, name: str, rows: list[tuple[str, ...]], header: str = "image,label") -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text("\n".join([header, *map(",".join, rows)]) + "\n")


@pytest.mark.parametrize(
    ("header", "train", "test"),
    [
        ("split", "train", "test"),
        ("Subset", "Training", "VALID"),
        ("is_train", "1", "0"),
        ("partition", "TRAIN", "dev"),
    ],
)
@pytest.mark.image_input("Layouts and tables", "a column of parts", "the parts of the split `parts`")
def test_column_of_parts(tmp_path: Path, header: str, train: str, test: str) -> None:
    create_images(tmp_path)
    parts = [train, test, train, test]
    rows = [(*pair, part) for pair, part in zip(PAIRS.items(), parts, strict=True)]
    write(tmp_path, "t.csv", rows, f"image,label,{header}")
    image_index = scan_source(tmp_path, {"by": "parts"}).image_index
    assert [(item.path, item.part) for item in image_index] == [
        ("a.jpg", "train"),
        ("c.jpg", "train"),
        ("b.jpg", "held_out"),
        ("d.jpg", "ood"),
    ]


@row("one table for each part (`train.csv`, `val.csv`)", "all are read; the file name is the part")
def test_a_table_for_each_part(tmp_path: Path) -> None:
    create_images(tmp_path)
    rows = list(PAIRS.items())
    write(tmp_path, "labels_train.csv", [rows[0], rows[2]])
    write(tmp_path, "labels_val.csv", [rows[1], rows[3]])
    counts = scan_source(tmp_path, {"by": "parts"}).image_index.counts
    assert counts == {"train": 2, "held_out": 1, "ood": 1, "id_labels": 2, "ood_labels": 1}
    write(tmp_path, "sample_submission.csv", rows)
    error = source_error(tmp_path)
    assert (error.code, error.pointer) == ("ambiguous_table", "/images/file")
    assert "labels_train.csv, labels_val.csv, sample_submission.csv" in error.detail
    assert len(scan_source(tmp_path, file="labels_train.csv").image_index) == 2


@row("Hugging Face image folders with `metadata.csv`, `.jsonl` or `.parquet`", "read as a table")
def test_metadata_of_image_folders(tmp_path: Path) -> None:
    create_images(create_images(tmp_path, "train"), "test")
    for part in ("train", "test"):
        records = [{"file_name": image, "label": PAIRS[image], "text": f"a {part}"} for image in IMAGES]
        (tmp_path / part / "metadata.jsonl").write_text("\n".join(map(json.dumps, records)))
    image_index = scan_source(tmp_path, {"by": "parts"}).image_index
    assert image_index.counts == {"train": 4, "held_out": 4, "ood": 0, "id_labels": 3, "ood_labels": 0}
    assert {item.path: item.caption for item in image_index}["test/a.jpg"] == "a test"


@row("a table without a column of labels", "the folder of each image is its label")
def test_folders_are_labels_without_a_column(tmp_path: Path) -> None:
    create(tmp_path, "crane/1.jpg", "red finch/1.jpg")
    write(tmp_path, "t.csv", [("crane/1.jpg", "a bird"), ("red finch/1.jpg", "")], "file_name,caption")
    scanned = scan_source(tmp_path, layout="table")
    assert pairs(scanned) == {"crane/1.jpg": "crane", "red finch/1.jpg": "red finch"}
    assert [item.caption for item in scanned.image_index] == ["a bird", None]
    assert "label by folder" in scanned.listing.notes[0]


@row("a table beside class folders", "the class folders are read, and the table is named")
def test_class_folders_come_first_unless_the_table_is_named(tmp_path: Path) -> None:
    create_ten(tmp_path, "crane", "red finch")
    write(tmp_path, "t.csv", [("crane/1.jpg", "blue jay"), ("red finch/2.jpg", "crane")])
    scanned = scan_source(tmp_path)
    assert len(scanned.image_index) == 20
    assert scanned.listing.layout == "class_folders"
    assert any("the table beside the class folders is not read" in note for note in scanned.listing.notes)
    assert pairs(scan_source(tmp_path, layout="table")) == {"crane/1.jpg": "blue jay", "red finch/2.jpg": "crane"}


@pytest.mark.parametrize("stray", ["labels.csv", "notes.txt", "README.md", "data.json", "captions.json"])
def test_other_files_are_no_tables(tmp_path: Path, stray: str) -> None:
    create_ten(tmp_path, "crane", "red finch")
    (tmp_path / stray).write_text("name,id\ncrane,1\n" if stray.endswith("csv") else '{"a": 1}')
    scanned = scan_source(tmp_path)
    assert (scanned.listing.layout, scanned.listing.notes) == ("class_folders", [])


def test_rows_of_one_image_are_joined(tmp_path: Path) -> None:
    create_images(tmp_path)
    rows = [*((*pair, "one") for pair in PAIRS.items()), ("a.jpg", "crane", "one"), ("b.jpg", "crane", "two")]
    write(tmp_path, "t.csv", rows, "image,label,caption")
    scanned = scan_source(tmp_path)
    assert pairs(scanned) == PAIRS
    assert len(scanned.image_index) == 4
    assert "1 row repeats the image and the label of others" in scanned.listing.notes
    assert "1 further captions are not used: each image has one" in scanned.listing.notes


@row("one image in two parts of a table", "refused with both lines")
def test_image_in_two_parts_is_refused(tmp_path: Path) -> None:
    create_images(tmp_path)
    write(tmp_path, "t.csv", [("a.jpg", "crane", "train"), ("a.jpg", "crane", "val")], "image,label,split")
    error = source_error(tmp_path)
    assert error.code == "image_twice"
    assert 't.csv line 3: "a.jpg" is in part val, and on line 2 in train' in error.detail


@row("rows without a label", "skipped and counted; refused if no row has one")
def test_rows_without_a_label_are_skipped(tmp_path: Path) -> None:
    create_images(tmp_path)
    rows = list(PAIRS.items())
    write(tmp_path, "t.csv", [*rows[:3], ("d.jpg", " ")])
    scanned = scan_source(tmp_path)
    assert scanned.listing.skipped.counts == {"no label": 1}
    assert scanned.listing.skipped.examples == {"no label": ["d.jpg"]}
    write(tmp_path, "t.csv", [(image, "") for image in IMAGES])
    assert source_error(tmp_path).code == "no_label"


@pytest.mark.parametrize(
    ("name", "code"),
    [("other.csv", "missing_table"), ("../t.csv", "outside_root"), ("/etc/passwd", "outside_root")],
)
def test_given_file_lies_in_the_folder(tmp_path: Path, name: str, code: str) -> None:
    create_images(tmp_path)
    write(tmp_path, "t.csv", list(PAIRS.items()))
    error = source_error(tmp_path, file=name)
    assert (error.code, error.pointer) == (code, "/images/file")


def test_table_behind_a_link_that_leaves_the_folder_is_not_read(tmp_path: Path) -> None:
    root = create_images(tmp_path / "root")
    write(tmp_path, "t.csv", list(PAIRS.items()))
    (root / "t.csv").symlink_to(tmp_path / "t.csv")
    (root / "metadata.csv").symlink_to(tmp_path / "t.csv")
    assert source_error(root, layout="table").code == "missing_table"
    assert source_error(root, file="t.csv").code == "outside_root"


def test_parts_without_training_are_named(tmp_path: Path) -> None:
    create_images(tmp_path)
    write(tmp_path, "t.csv", [(*pair, str(at)) for at, pair in enumerate(PAIRS.items())], "image,label,fold")
    assert 'the parts are "0", "1", "2", "3"' in source_error(tmp_path, {"by": "parts"}).detail


def test_empty_folder_has_no_table(tmp_path: Path) -> None:
    assert source_error(tmp_path, layout="table").code == "missing_table"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("train-images-idx3-ubyte.gz", "IDX files (MNIST)"),
        ("cifar/data_batch_1", "pickled batches (CIFAR)"),
        ("train.npz", "NumPy arrays"),
        ("train.pkl", "Python pickles, which are never opened"),
        ("train.tfrecord-00000-of-00002", "TFRecord files"),
        ("images.zip", "packed files"),
        ("labels.xlsx", "spreadsheets"),
    ],
)
@row("IDX, NumPy, pickle, HDF5, TFRecord, LMDB and packed files", "refused with what to do")
def test_other_forms_of_images_are_named(tmp_path: Path, name: str, words: str) -> None:
    create(tmp_path, name)
    error = source_error(tmp_path)
    assert error.code == "unknown_layout"
    assert f'{words} such as "{Path(name).name}"' in error.detail


def test_captions_are_saved_with_the_index(tmp_path: Path) -> None:
    create_images(tmp_path)
    rows = [("a.jpg", "crane", "by a lake"), ("b.jpg", "crane", ""), ("c.jpg", "red finch", "été")]
    write(tmp_path, "t.csv", rows, "image,label,caption")
    image_index = scan_source(tmp_path).image_index
    image_index.save(tmp_path / "manifest.jsonl")
    lines: list[Any] = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text().splitlines()[1:]]
    assert lines == [["a.jpg", 1, "train", "by a lake"], ["b.jpg", 1, "train"], ["c.jpg", 2, "train", "été"]]
    loaded = type(image_index).load(tmp_path / "manifest.jsonl")
    assert loaded.items == image_index.items
    assert loaded.digest == image_index.digest
    (tmp_path / "t.csv").write_text("image,label\n" + "".join(f"{path},{label}\n" for path, label, _ in rows))
    assert scan_source(tmp_path).image_index.digest != image_index.digest


@pytest.mark.parametrize(
    ("header", "values", "remedy"),
    [
        ("image,Bird Name", "crane", "give images.columns.label"),
        ("image,crane,red finch", "1,0", 'it has a column for each label ("crane", "red finch")'),
    ],
)
@row("a table whose label column is not recognised, or with a column for each label", "refused, with its columns")
def test_a_table_without_labels_is_named(tmp_path: Path, header: str, values: str, remedy: str) -> None:
    create_images(tmp_path, "images")
    (tmp_path / "t.csv").write_text(f"{header}\na.jpg,{values}\nb.jpg,{values}\n", encoding="utf-8")
    error = source_error(tmp_path)
    assert (error.code, error.pointer) == ("no_label", "/images/columns/label")
    assert remedy in error.detail


@row("a malformed table, alone or beside one of another part", "refused, with its line; nothing is left out silently")
def test_a_malformed_table_is_named(tmp_path: Path) -> None:
    create_images(tmp_path, "images")
    (tmp_path / "train.csv").write_text("file,label\na.jpg,crane,x\nb.jpg,red finch\n", encoding="utf-8")
    assert "train.csv line 2 has 3 fields" in source_error(tmp_path).detail
    write(tmp_path, "test.csv", [("c.jpg", "crane"), ("d.jpg", "red finch")], "file,label")
    error = source_error(tmp_path)
    assert (error.code, error.pointer) == ("bad_table", "/images/file")
    assert len(scan_source(tmp_path, file="test.csv").image_index) == 2


def test_a_table_of_missing_images_only(tmp_path: Path) -> None:
    write(create_images(tmp_path), "t.csv", [("x.jpg", "crane")], "file,label")
    error = source_error(tmp_path, missing="skip")
    assert (error.code, error.pointer) == ("no_images", "/images/missing")


def write_shard(file: Path, names: list[str]) -> list[str]:
    """A shard of these images; returns the path of each as a table gives it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as archive:
        for name in names:
            data = f"content of {name}".encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    with tarfile.open(file) as archive:
        return [f"{file.name}!{one.offset_data}+{one.size}!{one.name}" for one in archive.getmembers()]


def test_members_of_shards_are_listed_without_reading_the_shards(tmp_path: Path) -> None:
    names = [f"{number:02}.jpg" for number in range(20)]
    listed = [f"shards/{path}" for path in write_shard(tmp_path / "shards" / "0.tar", names)]
    rows = [(path, "crane" if at % 2 else "red finch") for at, path in enumerate(listed)]
    write(tmp_path, "index.csv", rows)
    with (tmp_path / "shards" / "0.tar").open("r+b") as shard:
        shard.write(b"\xff" * 512)  # no header of a member is looked at
    image_index = scan_source(tmp_path, layout="table").image_index
    assert sorted(image_index.paths) == sorted(listed)
    assert read_image(image_index.file(0)).startswith(b"content of")
    assert {item.label for item in image_index} == {image_index.labels.index(name) for name in ("crane", "red finch")}


@pytest.mark.parametrize("wrong", ["shards/0.tar!512+99999999!00.jpg", "shards/1.tar!512+5!00.jpg"])
def test_a_member_outside_its_shard_is_missing(tmp_path: Path, wrong: str) -> None:
    listed = write_shard(tmp_path / "shards" / "0.tar", ["0.jpg", "1.jpg", "2.jpg", "3.jpg"])
    rows = [(f"shards/{path}", ("crane", "red finch")[at % 2]) for at, path in enumerate(listed)]
    write(tmp_path, "index.csv", [*rows, (wrong, "crane")])
    error = source_error(tmp_path, layout="table")
    assert error.code == "missing_image"
    assert f'"{wrong}" on line 6' in error.detail
    assert len(scan_source(tmp_path, layout="table", missing="skip").image_index) == 4


def test_rows_of_one_folder_in_two_tables_report_what_neither_lists(tmp_path: Path) -> None:
    create_images(tmp_path)
    (tmp_path / "stray.jpg").touch()
    rows = list(PAIRS.items())
    write(tmp_path, "labels_train.csv", [rows[0], rows[2]])
    write(tmp_path, "labels_val.csv", [rows[1], rows[3]])
    skipped = scan_source(tmp_path, {"by": "parts"}).listing.skipped
    assert skipped.examples["image that no table lists"] == ["stray.jpg"]


def test_a_folder_is_listed_once_whatever_the_order_of_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("x", "y", "z"):
        create_images(tmp_path, folder, tuple(f"{number}.jpg" for number in range(10)))
    rows = [(f"{folder}/{at}.jpg", ("crane", "red finch")[at % 2]) for at in range(10) for folder in ("x", "y", "z")]
    write(tmp_path, "t.csv", rows)
    listed: list[str] = []
    original = ImagePaths._list

    def list_folder(self: ImagePaths, folder: str) -> Folder | None:
        listed.append(folder)
        return original(self, folder)

    monkeypatch.setattr(ImagePaths, "_list", list_folder)
    assert len(scan_source(tmp_path, layout="table").image_index) == 30
    assert sorted(filter(None, listed)) == ["x", "y", "z"]
