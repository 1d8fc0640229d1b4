"""Captions of a dataset's training images: small JPEGs, a caption file, failures by reason. On both databases."""

import hashlib
import io
import json
import os
from typing import Any

import pytest
from PIL import Image

from attributes.llm.requests import build_request
from attributes.prompts.strategy import load_strategy
from distill.data.dataset.scan import scan
from distill.data.image_index import ImageIndex, Item
from distill.data.splits import BySeed
from distill.texts.captions import read_captions
from limbeck.shared.images.decode import small_jpeg
from store import resources
from store.ids import new_id
from store.models import Job
from store.sets import caption_sets
from tests.workers.enrich_bench import Bench
from workers.enrich import captions
from workers.enrich.captions import MAX_IMAGE_PX
from workers.enrich.questions import PlannedQuestion
from workers.gpu import inputs


@pytest.fixture
def dataset_id(bench: Bench) -> str:
    """Two labels with ten images each, of which half are training images; one training image is truncated.

    The names of the images are not UTF-8.
    """
    root = bench.context.settings.data / "images"
    for label in ("Heron", "Ibis"):
        (root / label).mkdir(parents=True)
        for number in range(10):
            Image.new("RGB", (900, 40 + number), (number * 20, 90, 140)).save(
                root / label / os.fsdecode(b"%d\xe9.png" % number)
            )
    image_index = scan(root, ["Heron", "Ibis"], BySeed(id_fraction=1.0, held_out=0.5))
    truncated = root / image_index.paths[image_index.part("train")[3]]
    truncated.write_bytes(truncated.read_bytes()[:60])
    file = bench.context.settings.home / "manifest.jsonl"
    image_index.save(file)
    id = new_id("dst")
    bench.context.artefacts.put_file(file, f"datasets/{id}/manifest.jsonl")
    vocabulary_id = bench.vocabulary(["Heron", "Ibis"])
    with bench.db.write() as tx:
        resources.add_dataset(
            tx,
            id=id,
            vocabulary_id=vocabulary_id,
            name="d",
            path="images",
            split={},
            counts=image_index.counts,
            digest=image_index.digest,
            manifest_key=f"datasets/{id}/manifest.jsonl",
        )
    return id


def rows(bench: Bench, job: Job) -> list[dict[str, Any]]:
    with bench.db.read() as tx:
        caption_set = caption_sets.get(tx, (job.result or {})["caption_set_id"])
    with bench.context.artefacts.open(caption_set.file_key) as file:
        content = file.read()
    assert hashlib.sha256(content).hexdigest() == caption_set.digest
    return [json.loads(line) for line in content.splitlines()]


@pytest.mark.slow
def test_each_training_image_has_a_caption_or_a_reason(bench: Bench, dataset_id: str) -> None:
    job = bench.run(dataset_id=dataset_id, strategies=["captions"])
    assert job.result is not None
    assert job.status == "succeeded"
    assert (job.result["num_images"], job.result["num_captioned"]) == (10, 9)
    assert (job.result["failed_images"], job.result["failed_positions"]) == ({"unreadable_image": 1}, [3])
    captioned = rows(bench, job)
    assert len(captioned) == 9
    root = bench.context.settings.data / "images"
    for row in captioned:
        assert row["caption"]
        assert row["sha256"] == hashlib.sha256((root / row["path"]).read_bytes()).hexdigest()
    file = inputs.captions(bench.context, job.result["caption_set_id"], bench.context.settings.home / "scratch")
    assert read_captions(root, [row["path"] for row in captioned], file) == [row["caption"] for row in captioned]
    calls = bench.llm.calls
    again = bench.run(dataset_id=dataset_id, strategies=["captions"])
    assert bench.llm.calls == calls == 9
    assert rows(bench, again) == captioned


@pytest.mark.slow
def test_only_a_changed_image_is_sent_again(bench: Bench, dataset_id: str) -> None:
    first = rows(bench, bench.run(dataset_id=dataset_id, strategies=["captions"]))
    calls = bench.llm.calls
    path = bench.context.settings.data / "images" / first[0]["path"]
    Image.new("RGB", (50, 50), (200, 10, 10)).save(path)
    second = rows(bench, bench.run(dataset_id=dataset_id, strategies=["captions"]))
    assert bench.llm.calls == calls + 1
    assert second[0]["sha256"] != first[0]["sha256"]
    assert second[1:] == first[1:]


def test_an_image_with_several_labels_is_sent_once(bench: Bench, dataset_id: str) -> None:
    with bench.db.read() as tx:
        row = resources.dataset(tx, dataset_id)
    file = bench.context.settings.home / "manifest.jsonl"
    found = ImageIndex.load(file)
    paths = [found.paths[at] for at in found.part("train")][:2]
    items = [Item(paths[0], 0, "train"), Item(paths[0], 1, "train"), Item(paths[1], 0, "train")]
    ImageIndex.of(found.root, found.labels, items).save(file)
    bench.context.artefacts.put_file(file, row.manifest_key)
    with bench.db.write() as tx:
        resources.dataset(tx, dataset_id).counts = {**row.counts, "train": 3}
    job = bench.run(dataset_id=dataset_id, strategies=["captions"])
    assert bench.llm.calls == 2
    assert [row["path"] for row in rows(bench, job)] == [paths[0], paths[0], paths[1]]
    _, images = captions._images(bench.context, dataset_id)
    assert [image.label for image in images] == ["Heron, Ibis", "Heron, Ibis", "Heron"]


def test_a_missing_dataset_folder_fails_the_job(bench: Bench, dataset_id: str) -> None:
    (bench.context.settings.data / "images").rename(bench.context.settings.data / "elsewhere")
    job = bench.run(dataset_id=dataset_id, strategies=["captions"])
    assert job.status == "failed"
    assert (job.error or {})["code"] == "dataset_missing"


def test_an_image_is_sent_as_a_small_jpeg_and_hashed_into_the_key(bench: Bench, dataset_id: str) -> None:
    root, images = captions._images(bench.context, dataset_id)
    data = (root / images[0].path).read_bytes()
    with Image.open(io.BytesIO(small_jpeg(data, max_px=MAX_IMAGE_PX))) as sent:
        assert (sent.format, max(sent.size)) == ("JPEG", MAX_IMAGE_PX)
    assert small_jpeg(data, max_px=MAX_IMAGE_PX) == small_jpeg(data, max_px=MAX_IMAGE_PX)
    tiny = io.BytesIO()
    Image.new("RGBA", (8, 6)).save(tiny, "PNG")
    with Image.open(io.BytesIO(small_jpeg(tiny.getvalue(), max_px=MAX_IMAGE_PX))) as sent:
        assert sent.size == (8, 6)
    (planned,) = captions._questions(load_strategy("captions"), root, images, range(1), "", set())
    assert isinstance(planned, PlannedQuestion)
    assert "base64" not in str(build_request(planned.question).messages)
