"""WebDataset shards: same samples as the webdataset library, same training as class folders; bad shards are named."""

import io
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from webdataset import TarWriter
from webdataset.tariterators import group_by_keys, tar_file_iterator

from distill.data.dataset.scan import scan
from distill.data.image_folders import FolderError
from distill.data.image_index import ImageIndex
from distill.data.shards import file_stamp, is_member, read_image, shard_of
from distill.data.splits import SPLIT
from distill.pipeline import training_data
from distill.teacher.image_features import image_features
from distill.teacher.teacher import Teacher
from distill.texts.text_targets import encode_text_targets
from distill.texts.text_templates import LabelAttributes, render
from tests.distill.helpers_train import SavedStates, run, small_config, weights

pytestmark = pytest.mark.usefixtures("old_files")

LABELS = ("blue jay", "crane", "heron", "red finch")
ALL_SEEN = {"by": "seed", "id_fraction": 1, "held_out": 0.25}


def write_shards(
    folder: Path, pictures: list[Path], fields: Callable[[int], dict[str, Any]], per_shard: int = 6
) -> None:
    """`fields(number)`: the members of a sample other than its image."""
    folder.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(pictures), per_shard):
        with TarWriter(str(folder / f"birds-{start // per_shard:03d}.tar")) as writer:
            for number, path in enumerate(pictures[start : start + per_shard], start):
                image = {path.suffix[1:]: path.read_bytes()}
                writer.write({"__key__": f"part{start}/{number:04d}", **image, **fields(number)})


@pytest.fixture
def pictures(tmp_path: Path, make_images: Callable[..., list[Path]]) -> list[Path]:
    return make_images(tmp_path / "pictures", 32)


@pytest.fixture
def root(tmp_path: Path, pictures: list[Path]) -> Path:
    write_shards(tmp_path / "shards", pictures, lambda number: {"cls": LABELS[number % 4]})
    return tmp_path / "shards"


def scanned(root: Path, split: dict[str, Any] = ALL_SEEN) -> ImageIndex:
    return scan(root, LABELS, SPLIT.validate_python(split))


def test_samples_equal_those_of_the_webdataset_library(root: Path) -> None:
    image_index = scanned(root)
    expected: dict[str, dict[str, Any]] = {}
    for shard in root.glob("*.tar"):
        with shard.open("rb") as file:
            members = ({**member, "__url__": shard.name} for member in tar_file_iterator(file))
            samples = group_by_keys(members)
            expected |= {sample["__key__"]: sample for sample in samples}
    assert len(image_index) == len(expected) == 32
    for at, item in enumerate(image_index):
        sample = expected[item.path.rpartition("!")[2].rpartition(".")[0]]
        assert read_image(image_index.file(at)) == sample.get("jpg", sample.get("png"))
        assert LABELS[item.label] == sample["cls"].decode()
        assert is_member(item.path)
        assert shard_of(item.path) == sample["__url__"]
        assert file_stamp(image_index.file(at)) is not None
    assert len({file_stamp(image_index.file(at)) for at in range(32)}) == 32
    assert Counter(item.part for item in image_index) == {"train": 24, "held_out": 8}


@pytest.mark.parametrize(
    "fields",
    [
        lambda number: {"cls": number % 4},
        lambda number: {"json": {"label": LABELS[number % 4], "width": 3}},
        lambda number: {"json": {"label": number % 4}},
        lambda number: {"txt": "a bird", "cls": LABELS[number % 4].upper().replace(" ", "_")},
    ],
)
def test_labels_are_indices_names_or_in_json(
    tmp_path: Path, pictures: list[Path], fields: Callable[[int], dict[str, Any]]
) -> None:
    write_shards(tmp_path / "shards", pictures, fields)
    image_index = scanned(tmp_path / "shards")
    for item in image_index:
        assert item.label == int(item.path.rpartition("/")[2].partition(".")[0]) % 4


def test_index_of_shards_is_saved_and_loaded(root: Path, tmp_path: Path) -> None:
    image_index = scanned(root)
    image_index.save(tmp_path / "manifest.jsonl")
    loaded = ImageIndex.load(tmp_path / "manifest.jsonl")
    assert loaded.digest == image_index.digest
    assert loaded.paths == image_index.paths


def test_parts_can_be_folders_of_shards(tmp_path: Path, pictures: list[Path]) -> None:
    write_shards(tmp_path / "parts" / "train", pictures[:16], lambda number: {"cls": LABELS[number % 2]})
    write_shards(tmp_path / "parts" / "val", pictures[16:], lambda number: {"cls": LABELS[2 + number % 2]})
    image_index = scanned(tmp_path / "parts", {"by": "folders"})
    assert image_index.counts == {"train": 16, "held_out": 0, "ood": 16, "id_labels": 2, "ood_labels": 2}


def add_sample_without_label(root: Path) -> None:
    add(root / "more.tar", {"a.jpg": b"x", "b.jpg": b"y", "b.cls": b"crane"})


def add(shard: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(shard, "w") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def truncate(root: Path) -> None:
    shard = root / "birds-002.tar"
    shard.write_bytes(shard.read_bytes()[:5000])


@pytest.mark.parametrize(
    ("damage", "code", "message"),
    [
        (lambda root: (root / "more.tar").write_bytes(b"no tar" * 200), "bad_shard", '"more.tar" is not a tar file'),
        (truncate, "bad_shard", '"birds-002.tar" is not a tar file, or is truncated'),
        (add_sample_without_label, "no_label", 'more.tar: sample "a" has no .cls'),
        (lambda root: add(root / "more.tar", {"a.jpg": b"x", "a.cls": b"9"}), "folder_matches_no_label", '"9"'),
        (lambda root: add(root / "more.tar", {"a.jpg": b"x", "a.json": b"{"}), "no_label", '"a.json" cannot be read'),
        (lambda root: (root / "more.tar.gz").write_bytes(b""), "packed_shard", "unpack it"),
        (lambda root: (root / "out.tar").symlink_to("/etc/hostname"), "link", "leaves the folder"),
    ],
)
def test_unusable_shards_are_refused(root: Path, damage: Callable[[Path], None], code: str, message: str) -> None:
    damage(root)
    with pytest.raises(FolderError, match=message) as caught:
        scanned(root)
    assert caught.value.code == code


@pytest.mark.slow
def test_training_from_shards_equals_training_from_folders_and_resumes_exactly(
    root: Path, tmp_path: Path, tiny_teacher: Teacher
) -> None:
    image_index = scanned(root)
    targets = encode_text_targets(
        tiny_teacher, [render("names", label, LabelAttributes()) for label in LABELS], cache=None
    )

    def data_for(cache: str, **overrides: Any) -> Any:
        config = small_config(num_workers=2, epochs=3, batch_size=6, average="ema", **overrides)
        return config, training_data(config, image_index, tiny_teacher, targets, cache=tmp_path / cache)

    config, data = data_for("stored")
    # Members are part0/0004.jpg, made from the files pictures/004.jpg.
    files = [tmp_path / "pictures" / image_index.paths[row].rpartition("/0")[2] for row in image_index.part("train")]
    plain = image_features(tiny_teacher, files, cache=tmp_path / "plain").features
    torch.testing.assert_close(data.teacher[:, 0].float(), plain)
    whole, steps = run(config, data=data)

    on_demand_config, on_demand = data_for("not stored", decoded_gb=0)
    assert not isinstance(on_demand.pixels, np.ndarray)
    assert not list((tmp_path / "not stored").rglob("*.npy"))
    assert on_demand.digests == data.digests
    saves = SavedStates(tmp_path)
    run(on_demand_config, stop_at=5, save=saves, data=on_demand)
    resumed, more = run(on_demand_config, resume=saves.paths[-1], data=on_demand)
    assert len(steps) == 12
    assert [metrics.step for metrics in more] == list(range(6, 13))
    assert all(torch.equal(weights(resumed)[name], tensor) for name, tensor in weights(whole).items())
