"""Images in Parquet and Arrow files: the same training data as class folders, and stamps that change with the file."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from distill.data.dataset.scan import scan
from distill.data.decoded_images import Pixels
from distill.data.image_files.location import container_of, file_stamp, read_image
from distill.data.splits import SPLIT
from distill.pipeline import training_data
from distill.teacher.teacher import Teacher
from distill.texts.text_targets import TextTargets
from tests.distill.conftest import Clock
from tests.distill.examples import LABELS
from tests.distill.helpers_train import small_config

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def write_table(root: Path, form: str, images: list[bytes], labels: list[str]) -> Path:
    root.mkdir(exist_ok=True)
    image_type = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    values = pa.array([{"bytes": image, "path": None} for image in images], image_type)
    table = pa.table({"image": values, "label": labels})
    file = root / f"train-00000-of-00001.{form}"
    if form == "parquet":
        pq.write_table(table, file, row_group_size=5)
    else:
        with pa.OSFile(str(file), "wb") as out, pa.ipc.new_stream(out, table.schema) as writer:
            writer.write_table(table, max_chunksize=5)
    os.utime(file, (time.time() - 60,) * 2)
    return file


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_training_data_equals_that_of_class_folders(
    form: str, tmp_path: Path, make_images: Callable[..., list[Path]], tiny_teacher: Teacher, targets: TextTargets
) -> None:
    images, labels = [], []
    for number, name in enumerate(LABELS):
        for path in make_images(tmp_path / "folders" / name, 4, seed=number):
            images.append(path.read_bytes())
            labels.append(name)
    write_table(tmp_path / "rows", form, images, labels)
    split = SPLIT.validate_python({"by": "all"})

    def data_of(folder: str, **options: object) -> tuple[torch.Tensor, Pixels]:
        """Teacher features and pixels in the order of `images`."""
        index = scan(tmp_path / folder, LABELS, split)
        at = {read_image(index.file(row)): row for row in range(len(index))}
        config = small_config(num_workers=4, **options)
        data = training_data(config, index, tiny_teacher, targets, cache=tmp_path / f"cache {folder} {options}")
        order = np.array([at[image] for image in images])
        assert data.shards is None or set(data.shards) == {0}
        return data.teacher[order], data.pixels[order]

    teacher, pixels = data_of("folders")
    same_teacher, same_pixels = data_of("rows")
    assert torch.equal(teacher, same_teacher)
    assert np.array_equal(pixels, same_pixels)
    _, on_demand = data_of("rows", decoded_gb=0)
    assert np.array_equal(pixels, on_demand)


@pytest.mark.parametrize("form", ["parquet", "arrow"])
@pytest.mark.image_input(
    "Files, folders and shards",
    "a Parquet or Arrow file that was replaced or truncated",
    "its images are read and hashed again",
)
def test_stamps_and_reads_follow_the_file(form: str, tmp_path: Path, clock: Clock) -> None:
    clock.ahead_s = 60
    file = write_table(tmp_path, form, [b"one", b"three"], ["crane", "heron"])
    index = scan(tmp_path, LABELS, SPLIT.validate_python({"by": "all"}))
    first, second = index.file(0), index.file(1)
    assert {read_image(first), read_image(second)} == {b"one", b"three"}
    before = [file_stamp(first), file_stamp(second)]
    assert None not in before
    assert len(set(before)) == 2
    assert container_of(index.paths[0]) == file.name
    os.utime(file, (time.time() - 30,) * 2)
    assert file_stamp(first) not in before
    clock.ahead_s = 0
    assert file_stamp(first) is None  # too recent to be trusted
    file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(OSError, match="truncated|cannot be read"):
        read_image(first)
    file.unlink()
    assert file_stamp(first) is None
    with pytest.raises(FileNotFoundError):
        read_image(first)


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_sorted_paths_are_in_the_order_of_the_file(form: str, tmp_path: Path) -> None:
    images = [f"image {number}".encode() for number in range(120)]
    write_table(tmp_path, form, images, [LABELS[number % 4] for number in range(120)])
    index = scan(tmp_path, LABELS, SPLIT.validate_python({"by": "all"}))
    assert [read_image(index.file(row)) for row in range(120)] == images


def test_plain_files_have_no_container(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a")
    assert container_of("crane/a.jpg") is None
    assert container_of("x.tar!512+1!a.jpg") == "x.tar"
    assert read_image(tmp_path / "a.jpg") == b"a"
