"""Data sets of Hugging Face, as the library writes them: names of classes, parts, and images read in place."""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from distill.data.image_files.location import container_of, file_stamp, read_image
from tests.distill.data.helpers_index import LABELS, create_ten
from tests.distill.data.layouts.helpers_tables import ALL, scan_source, source_error

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

NAMES = ["blue jay", "crane", "red finch"]
FEATURES = {"image": {"_type": "Image"}, "label": {"names": NAMES, "_type": "ClassLabel"}}
COMPRESSED = pa.ipc.IpcWriteOptions(compression="zstd")
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def row(given: str, handling: str) -> pytest.MarkDecorator:
    return pytest.mark.image_input("Layouts and tables", given, handling)


def table(
    numbers: list[Any], features: Mapping[str, Any] | None = FEATURES, *, image: str = "image", **more: Any
) -> Any:
    images = [{"bytes": f"{at}:{number}".encode(), "path": None} for at, number in enumerate(numbers)]
    found = pa.table({image: pa.array(images, IMAGE), "label": numbers, **more})
    metadata = {} if features is None else {"huggingface": json.dumps({"info": {"features": features}})}
    return found.replace_schema_metadata(metadata)


def save_parquet(file: Path, content: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(content, file, row_group_size=3)
    os.utime(file, (time.time() - 60,) * 2)


def save_arrow(folder: Path, content: Any, name: str = "data-00000-of-00001.arrow", **options: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with pa.OSFile(str(folder / name), "wb") as out, pa.ipc.new_stream(out, content.schema, **options) as writer:
        writer.write_table(content, max_chunksize=3)
    os.utime(folder / name, (time.time() - 60,) * 2)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
    (folder / "dataset_info.json").write_text(json.dumps({"features": FEATURES}))


def save_to_disk(root: Path, parts: Mapping[str, Any]) -> None:
    for part, content in parts.items():
        save_arrow(root / part, content)
    (root / "dataset_dict.json").write_text(json.dumps({"splits": list(parts)}))


def images(root: Path, split: Mapping[str, Any] = ALL, **source: Any) -> list[tuple[bytes, str, str]]:
    """Content, label and part of each image."""
    index = scan_source(root, split, **source).image_index
    return [(read_image(index.file(at)), LABELS[item.label], item.part) for at, item in enumerate(index)]


TRAIN, TEST = [1, 1, 2, 2, 1, 2, 1], [1, 0, 2]
EXPECTED = sorted(
    [(f"{at}:{number}".encode(), NAMES[number], "train") for at, number in enumerate(TRAIN)]
    + [(f"{at}:{n}".encode(), NAMES[n], "ood" if n == 0 else "held_out") for at, n in enumerate(TEST)]
)


@row(
    "Parquet files as on the Hugging Face Hub (`data/train-00000-of-00001.parquet`)",
    "read in place; file names are parts",
)
@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("data/train-00000-of-00001.parquet", "data/test-00000-of-00001-0123abc.parquet"),
        ("train-00000-of-00001.parquet", "validation-00000-of-00001.parquet"),
        ("default/train/0000.parquet", "default/test/0000.parquet"),
    ],
)
def test_parquet_of_the_hub(tmp_path: Path, train: str, test: str) -> None:
    save_parquet(tmp_path / train, table(TRAIN))
    save_parquet(tmp_path / test, table(TEST))
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")
    assert sorted(images(tmp_path, {"by": "parts"})) == EXPECTED


@pytest.mark.usefixtures("old_files")
@row("a set saved by `save_to_disk`", "read in place; its splits are parts")
def test_saved_sets(tmp_path: Path) -> None:
    save_to_disk(tmp_path, {"train": table(TRAIN), "test": table(TEST)})
    (tmp_path / "train" / "cache-1.arrow").write_bytes(b"stale")
    assert sorted(images(tmp_path, {"by": "parts"})) == EXPECTED
    index = scan_source(tmp_path).image_index
    stamps = {file_stamp(index.file(at)) for at in range(len(index))}
    assert len(stamps) == len(index) == 10
    assert None not in stamps
    assert {container_of(path) for path in index.paths} == {
        "train/data-00000-of-00001.arrow",
        "test/data-00000-of-00001.arrow",
    }


def test_feather_and_large_binary(tmp_path: Path) -> None:
    content = table(TRAIN).set_column(0, "image", pa.array([f"{n}".encode() for n in TRAIN], pa.large_binary()))
    with pa.OSFile(str(tmp_path / "x.arrow"), "wb") as out, pa.ipc.new_file(out, content.schema) as writer:
        writer.write_table(content.slice(2), max_chunksize=2)
    assert sorted(images(tmp_path)) == sorted((str(n).encode(), NAMES[n], "train") for n in TRAIN[2:])


def test_names_of_classes_come_from_the_readme(tmp_path: Path) -> None:
    save_parquet(tmp_path / "data" / "train-0.parquet", table(TRAIN, None, image="img"))
    class_label = {"class_label": {"names": {str(at): name for at, name in enumerate(NAMES)}}}
    features = [{"name": "img", "dtype": "image"}, {"name": "label", "dtype": class_label}]
    header = yaml.safe_dump({"dataset_info": {"features": features}})
    (tmp_path / "README.md").write_text(f"---\n{header}---\n# Birds\n")
    assert [label for _, label, _ in images(tmp_path)] == [NAMES[number] for number in TRAIN]
    (tmp_path / "README.md").unlink()
    assert "the labels are numbers" in source_error(tmp_path).detail


@row("a file of a Hugging Face set in `folders` or `exclude`", "its images are chosen or left out, as those of a shard")
def test_files_of_a_set_are_chosen_and_left_out(tmp_path: Path) -> None:
    save_parquet(tmp_path / "data" / "train-0.parquet", table(TRAIN))
    save_parquet(tmp_path / "data" / "train-1.parquet", table([1, 2, 0]))
    for source in ({"folders": ["train-1.parquet"]}, {"exclude": ["train-0.parquet"]}, {"exclude": ["data/*-0.*"]}):
        assert sorted(label for _, label, _ in images(tmp_path, **source)) == sorted(NAMES)
    save_to_disk(tmp_path / "saved", {"train": table(TRAIN), "test": table(TEST)})
    assert len(images(tmp_path / "saved", exclude=["test/data-00000-of-00001.arrow"])) == len(TRAIN)
    assert len(images(tmp_path / "saved", exclude=["train/*.arrow/0"])) == 9  # a row


@row("labels of -1 or null in a Hugging Face set", "skipped and counted as without a label")
def test_hidden_labels_are_skipped(tmp_path: Path) -> None:
    save_parquet(tmp_path / "train-0.parquet", table([1, 2, -1, None]))
    scanned = scan_source(tmp_path)
    assert len(scanned.image_index) == 2
    assert scanned.listing.skipped.counts == {"no label": 2}
    save_parquet(tmp_path / "train-0.parquet", table([-1, -1]))
    assert source_error(tmp_path).code == "no_label"
    save_parquet(tmp_path / "train-0.parquet", table([1, 3]))
    assert "row 2: label 3 is none of the 3 class names" in source_error(tmp_path).detail


def test_captions_several_labels_and_ambiguous_labels(tmp_path: Path) -> None:
    lists = {**FEATURES, "label": {"feature": FEATURES["label"], "_type": "Sequence"}}
    save_parquet(tmp_path / "x.parquet", table([[1, 2], [0], []], lists, caption=["one", "", "three"]))
    index = scan_source(tmp_path, several_labels="first").image_index
    assert [(LABELS[item.label], item.caption) for item in index] == [("crane", "one"), ("blue jay", None)]
    two = {**FEATURES, "coarse": FEATURES["label"]}
    save_parquet(tmp_path / "x.parquet", table(TRAIN, two, coarse=TRAIN))
    error = source_error(tmp_path)
    assert (error.code, error.pointer) == ("ambiguous_columns", "/images/columns/label")
    assert len(images(tmp_path, columns={"label": "coarse"})) == 7
    save_parquet(tmp_path / "x.parquet", table(TRAIN, mask=pa.array([{"bytes": b"m", "path": None}] * 7, IMAGE)))
    assert len(images(tmp_path)) == 7  # the schema says which column has the images
    save_parquet(tmp_path / "x.parquet", table(TRAIN, None, mask=pa.array([{"bytes": b"m", "path": None}] * 7, IMAGE)))
    assert 'needs one column of images, and has "image", "mask"' in source_error(tmp_path).detail


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_images_beside_the_file_are_found_or_missing(tmp_path: Path, form: str) -> None:
    (tmp_path / "a.jpg").write_bytes(b"beside")
    values = [{"bytes": b"inside", "path": "z.jpg"}, {"bytes": None, "path": "a.jpg"}, {"bytes": None, "path": "b.jpg"}]
    content = table([1, 2, 1]).set_column(0, "image", pa.array([*values], IMAGE))
    if form == "parquet":
        save_parquet(tmp_path / "x.parquet", content)
    else:
        save_arrow(tmp_path, content)
    error = source_error(tmp_path)
    assert error.code == "missing_image"
    assert '1 of 3 images are missing or no image files, the first is "b.jpg" in row 3' in error.detail
    assert sorted(content for content, *_ in images(tmp_path, missing="skip")) == [b"beside", b"inside"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda root: (root / "train-0.parquet").write_bytes(b"PAR1" * 9),
            "train-0.parquet is damaged, or no data set",
        ),
        (lambda root: save_arrow(root, table(TRAIN), options=COMPRESSED), "is compressed: save the data set again"),
        (lambda root: (root / "x.arrow").write_bytes(b"junk" * 9), "x.arrow is damaged, or no data set of images"),
    ],
    ids=["parquet", "compressed", "arrow"],
)
def test_damaged_sets_are_named(tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(tmp_path)
    error = source_error(tmp_path)
    assert error.code == "bad_table"
    assert message in error.detail


def test_links_that_leave_the_folder_are_refused(tmp_path: Path) -> None:
    save_parquet(tmp_path / "blobs" / "x.parquet", table(TRAIN))
    (tmp_path / "root" / "data").mkdir(parents=True)
    (tmp_path / "root" / "data" / "train-0.parquet").symlink_to(tmp_path / "blobs" / "x.parquet")
    assert source_error(tmp_path / "root", layout="huggingface").code == "link"
    (tmp_path / "root" / "more").symlink_to(tmp_path / "blobs")
    assert source_error(tmp_path / "root", layout="huggingface", file="more").code == "outside_root"


@pytest.mark.parametrize("content", [b"PAR1" * 9, None], ids=["damaged", "valid"])
def test_parquet_files_among_class_folders_change_nothing(tmp_path: Path, content: bytes | None) -> None:
    create_ten(tmp_path, "crane", "red finch")
    for folder in ("", "crane", "red finch"):
        save_parquet(tmp_path / folder / "embeddings.parquet", pa.table({"label": [1], "x": [2.0]}))
        if content is not None:
            (tmp_path / folder / "embeddings.parquet").write_bytes(content)
    scanned = scan_source(tmp_path)
    assert (scanned.listing.layout, len(scanned.image_index)) == ("class_folders", 20)


@row("several configurations of a Hugging Face set in one folder", "refused: `file` names one")
def test_one_configuration_is_chosen(tmp_path: Path) -> None:
    save_parquet(tmp_path / "small" / "train-0.parquet", table(TRAIN))
    save_parquet(tmp_path / "large" / "train-0.parquet", table(TRAIN))
    error = source_error(tmp_path)
    assert (error.code, error.pointer) == ("ambiguous_table", "/images/file")
    assert "(large, small)" in error.detail
    assert len(images(tmp_path, file="small")) == 7
    assert source_error(tmp_path, file="../x", layout="huggingface").code == "outside_root"
    assert source_error(tmp_path, file="none", layout="huggingface").code == "missing_table"


@row("Parquet or Arrow files without pyarrow", "refused; the message names the extra `datasets`")
@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    if form == "parquet":
        save_parquet(tmp_path / "train-0.parquet", table(TRAIN))
    else:
        save_to_disk(tmp_path, {"train": table(TRAIN)})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    error = source_error(tmp_path)
    assert error.code == "needs_pyarrow"
    assert "install the extra `datasets`" in error.detail


def test_row_groups_too_large_for_memory_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_parquet(tmp_path / "train-0.parquet", table(TRAIN))
    monkeypatch.setattr("distill.data.layouts.huggingface.rows.MAX_GROUPS_BYTES", 10)
    assert "write it with row_group_size=100" in source_error(tmp_path).detail
