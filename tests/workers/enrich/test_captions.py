"""Captions of a dataset's training images: shown small, kept in a file, named where they fail. On both databases."""

import hashlib
import io
import json
from typing import Any

import pytest
from PIL import Image

from attributes.llm.requests import build_request
from attributes.prompts.strategy import load_strategy
from distill.data.image_files import small_jpeg
from distill.data.image_index import scan
from distill.data.splits import BySeed
from distill.texts.captions import read_captions
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
def dataset_id(here: Bench) -> str:
    """Two labels of ten pictures each, one of them cut short; half of them to train on."""
    root = here.context.settings.data / "images"
    for label in ("Heron", "Ibis"):
        (root / label).mkdir(parents=True)
        for number in range(10):
            Image.new("RGB", (900, 40 + number), (number * 20, 90, 140)).save(root / label / f"{number}.png")
    image_index = scan(root, ["Heron", "Ibis"], BySeed(id_fraction=1.0, held_out=0.5))
    victim = image_index.paths[image_index.part("train")[3]]
    (root / victim).write_bytes((root / victim).read_bytes()[:60])
    file = here.context.settings.home / "manifest.jsonl"
    image_index.save(file)
    id = new_id("dst")
    here.context.artefacts.put_file(file, f"datasets/{id}/manifest.jsonl")
    vocabulary_id = here.vocabulary(["Heron", "Ibis"])
    with here.db.write() as tx:
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


def rows(here: Bench, job: Job) -> list[dict[str, Any]]:
    with here.db.read() as tx:
        made = caption_sets.get(tx, (job.result or {})["caption_set_id"])
    with here.context.artefacts.open(made.file_key) as file:
        content = file.read()
    assert hashlib.sha256(content).hexdigest() == made.digest
    return [json.loads(line) for line in content.splitlines()]


def test_each_training_image_has_a_caption_or_a_reason(here: Bench, dataset_id: str) -> None:
    job = here.run(dataset_id=dataset_id, strategies=["captions"])
    assert job.result is not None
    assert job.status == "succeeded"
    assert (job.result["num_images"], job.result["num_captioned"]) == (10, 9)
    assert (job.result["failed_images"], job.result["failed_positions"]) == ({"unreadable_image": 1}, [3])
    kept = rows(here, job)
    assert len(kept) == 9
    root = here.context.settings.data / "images"
    for row in kept:
        assert row["caption"]
        assert row["sha256"] == hashlib.sha256((root / row["path"]).read_bytes()).hexdigest()
    images = here.context.settings.data / "images"
    given = inputs.captions(here.context, job.result["caption_set_id"], here.context.settings.home / "scratch")
    assert read_captions(images, [row["path"] for row in kept], given) == [row["caption"] for row in kept]
    calls = here.llm.calls
    again = here.run(dataset_id=dataset_id, strategies=["captions"])
    assert here.llm.calls == calls == 9
    assert rows(here, again) == kept


def test_a_changed_image_alone_is_asked_about_again(here: Bench, dataset_id: str) -> None:
    first = rows(here, here.run(dataset_id=dataset_id, strategies=["captions"]))
    calls = here.llm.calls
    path = here.context.settings.data / "images" / first[0]["path"]
    Image.new("RGB", (50, 50), (200, 10, 10)).save(path)
    second = rows(here, here.run(dataset_id=dataset_id, strategies=["captions"]))
    assert here.llm.calls == calls + 1
    assert second[0]["sha256"] != first[0]["sha256"]
    assert second[1:] == first[1:]


def test_a_folder_that_is_not_mounted_fails_the_job_by_name(here: Bench, dataset_id: str) -> None:
    (here.context.settings.data / "images").rename(here.context.settings.data / "elsewhere")
    job = here.run(dataset_id=dataset_id, strategies=["captions"])
    assert job.status == "failed"
    assert (job.error or {})["code"] == "dataset_missing"


def test_a_picture_is_shown_small_and_is_part_of_the_key_by_its_digest(here: Bench, dataset_id: str) -> None:
    root, images = captions._images(here.context, dataset_id)
    data = (root / images[0].path).read_bytes()
    with Image.open(io.BytesIO(small_jpeg(data, max_px=MAX_IMAGE_PX))) as shown:
        assert (shown.format, max(shown.size)) == ("JPEG", MAX_IMAGE_PX)
    assert small_jpeg(data, max_px=MAX_IMAGE_PX) == small_jpeg(data, max_px=MAX_IMAGE_PX)
    tiny = io.BytesIO()
    Image.new("RGBA", (8, 6)).save(tiny, "PNG")
    with Image.open(io.BytesIO(small_jpeg(tiny.getvalue(), max_px=MAX_IMAGE_PX))) as shown:
        assert shown.size == (8, 6)
    (strategy,) = [load_strategy("captions")]
    (question,) = captions._questions(strategy, root, images, range(1), "", set())
    assert isinstance(question, PlannedQuestion)
    assert "base64" not in str(build_request(question.question).messages)
