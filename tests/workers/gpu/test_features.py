"""Features parts: chunks are encoded once, read by training and evaluation, and give the same student."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sqlalchemy import select, update

from api.jobs import job_requests
from api.jobs.job_requests import DistillIn, EvaluateIn
from distill.config.train_config import TrainConfig
from distill.data.dataset.scan import scan
from distill.data.splits import SPLIT
from distill.teacher.teacher import Teacher
from distill.training.loader import TrainData
from store import resources, vocabularies
from store.access.principals import LOCAL_PRINCIPAL
from store.artefacts import Artefacts
from store.db import Database
from store.jobs import claims, events, jobs, progress
from store.models import FeatureChunk, Job, Part
from store.settings import Settings
from store.upkeep import unused_artefacts
from store.vocabularies import NewLabel
from tests.distill.conftest import save_clip, tiny_clip_config
from workers.gpu.parts import WORK
from workers.runtime.context import Context
from workers.runtime.lease_renewal import LeaseRenewal
from workers.runtime.run_part import claim_part, run_claimed

LABELS = ("blue jay", "crane", "heron", "red finch")
SPLIT_BY_LIST = {"by": "list", "id": ["red finch", "crane"], "ood": ["blue jay", "heron"], "held_out": 0.5}
NUM_IMAGES = 20
CHUNK = 6
NUM_CHUNKS = 4
OTHER_VIEWS = ("center", "squash")
CONFIG = {
    "student": "test_resnet",
    "image_px": 32,
    "epochs": 2,
    "batch_size": 2,
    "num_workers": 1,
    "threads": 1,
    "onnx": False,
}


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """An entry for each batch of images that a teacher encodes."""
    calls: list[int] = []
    original = Teacher.encode_images

    def encode_images(self: Teacher, images: torch.Tensor) -> torch.Tensor:
        calls.append(len(images))
        return original(self, images)

    monkeypatch.setattr(Teacher, "encode_images", encode_images)
    return calls


@pytest.fixture
def machine(sqlite_db: Database, tmp_path: Path) -> Callable[..., Context]:
    """`machine(name, **settings)`: a worker with its own cache; all share the database, artefacts and images."""
    random = np.random.default_rng(0)
    for label in LABELS:
        folder = tmp_path / "data" / "birds" / label
        folder.mkdir(parents=True)
        for number in range(NUM_IMAGES // len(LABELS)):
            Image.fromarray(random.integers(0, 256, size=(32, 32, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    (tmp_path / "data" / "birds" / "crane" / "4.png").write_bytes(b"damaged")
    save_clip(tmp_path / "data" / "teacher", tiny_clip_config())
    image_index = scan(tmp_path / "data" / "birds", LABELS, SPLIT.validate_python(SPLIT_BY_LIST))
    image_index.save(tmp_path / "manifest.jsonl")
    url = f"memory://{tmp_path}"
    stored = Artefacts(url).put_file(tmp_path / "manifest.jsonl", "datasets/dst_1/manifest.jsonl")
    with sqlite_db.write() as tx:
        vocabulary = vocabularies.create(tx, name="v", domain="", labels=[NewLabel(name) for name in LABELS])
        resources.add_dataset(
            tx,
            id="dst_1",
            vocabulary_id=vocabulary.id,
            name="birds",
            path="birds",
            split=SPLIT_BY_LIST,
            counts=image_index.counts,
            digest=image_index.digest,
            manifest_key=stored.key,
        )

    def make(name: str, features_chunk: int = CHUNK, *, is_embedded: bool = False) -> Context:
        settings = Settings(
            home=tmp_path,
            data_root=tmp_path / "data",
            cache_dir=tmp_path / "caches" / name,
            artefacts_url=url,
            # Distributed, but no test sends a message.
            redis_url="" if is_embedded else "redis://127.0.0.1:1/0",  # type: ignore[arg-type]
            features_chunk=features_chunk,
        )
        return Context(settings, sqlite_db, Artefacts(url))

    return make


def start(context: Context, **config: Any) -> str:
    """Create a distill job; returns its id."""
    request = DistillIn.model_validate(
        {
            "kind": "distill",
            "dataset_id": "dst_1",
            "teacher": "local-dir:teacher",
            "recipe": "limbeck-small",
            "config": {**CONFIG, **config},
        }
    )
    with context.db.write() as tx:
        return job_requests.create(tx, request, context.settings, LOCAL_PRINCIPAL)[0].id


def run_next(context: Context) -> str:
    """Run the next part that is due; returns its kind."""
    with context.db.read() as tx:
        part_id = claims.ready(tx, ["gpu"])[0]
    claim = claim_part(context, part_id)
    assert claim is not None
    run_claimed(context, claim, WORK[claim.kind])
    return claim.kind


def run_all(context: Context, job_id: str) -> Job:
    """Run the parts of the job; returns the job, which must succeed."""
    while True:
        with context.db.read() as tx:
            job = jobs.get(tx, job_id)
        if job.finished_at is not None:
            assert job.status == "succeeded", job.error
            return job
        run_next(context)


def student_of(context: Context, job: Job) -> bytes:
    assert job.result is not None
    with context.db.read() as tx:
        key = resources.checkpoint_file(tx, str(job.result["checkpoint_id"]), "image/model.safetensors").file_key
    return context.artefacts.open(key).read()


def chunk_keys(context: Context) -> list[str]:
    with context.db.read() as tx:
        return list(tx.scalars(select(FeatureChunk.file_key).order_by(FeatureChunk.digest)))


class Given(Exception):
    """Ends a training that has its inputs."""

    def __init__(self, data: TrainData) -> None:
        self.data = data


@pytest.fixture
def training_inputs(monkeypatch: pytest.MonkeyPatch) -> Callable[[Context, str], TrainData]:
    """`training_inputs(context, job_id)`: runs the parts of the job up to its training; returns what that is given,
    with all features."""

    def train_student(_config: TrainConfig, data: TrainData, **_options: Any) -> None:
        raise Given(data)

    monkeypatch.setattr("workers.gpu.train.check_bundle", lambda *_arguments, **_options: None)
    monkeypatch.setattr("workers.gpu.train.train_student", train_student)

    def run(context: Context, job_id: str) -> TrainData:
        with context.db.read() as tx:
            query = select(Part.id).where(Part.job_id == job_id, Part.status != "succeeded").order_by(Part.position)
            part_ids = list(tx.scalars(query))
        for part_id in part_ids:
            claim = claim_part(context, part_id)
            assert claim is not None
            if claim.kind == "train":
                with LeaseRenewal(context, claim) as lease, pytest.raises(Given) as given:
                    WORK["train"](context, claim, lease)
                if (views := given.value.data.to_encode) is not None:
                    views.encode_all()  # as the steps of the training would
                return given.value.data
            run_claimed(context, claim, WORK[claim.kind])
        raise AssertionError("the job has no train part")

    return run


def encode_all(context: Context) -> str:
    """Start a job, and run its parts up to the training; returns its id."""
    job_id = start(context)
    assert [run_next(context) for _ in range(1 + NUM_CHUNKS)] == ["encode", *["features"] * NUM_CHUNKS]
    return job_id


def test_the_embedded_worker_is_the_only_one_and_encodes_for_the_steps(machine: Callable[..., Context]) -> None:
    context = machine("alone", is_embedded=True)
    job_id = start(context, view="same")
    with context.db.read() as tx:
        kinds = list(tx.scalars(select(Part.kind).where(Part.job_id == job_id).order_by(Part.position)))
    assert kinds == ["encode", "train", "evaluate"]


@pytest.mark.slow
@pytest.mark.parametrize("view", ["same", *(pytest.param(one, marks=pytest.mark.nightly) for one in OTHER_VIEWS)])
def test_a_training_reads_the_features_that_other_machines_encoded(
    machine: Callable[..., Context],
    training_inputs: Callable[[Context, str], TrainData],
    encoded: list[int],
    view: str,
) -> None:
    config = {"view": view, "image_px": 48}
    alone = machine("alone", features_chunk=NUM_IMAGES)
    expected = training_inputs(alone, start(alone, **config))
    assert encoded

    first, second, third = machine("first"), machine("second"), machine("third")
    job_id = start(first, **config)
    assert [run_next(first) for _ in range(1 + NUM_CHUNKS)] == ["encode", *["features"] * NUM_CHUNKS]
    with first.db.read() as tx:
        stage = progress.of_jobs(tx, [job_id])[job_id].stages[1]
    assert (stage.name, stage.done, stage.total, stage.unit) == ("image features", NUM_IMAGES, NUM_IMAGES, "images")
    encoded.clear()
    given = training_inputs(second, job_id)
    assert encoded == []
    assert torch.equal(given.teacher, expected.teacher)
    assert given.usable.tolist() == expected.usable.tolist()
    if view == "same":
        assert given.views is not None
        assert expected.views is not None
        assert np.array_equal(given.views.boxes, expected.views.boxes)

    stored = chunk_keys(first)
    again = training_inputs(third, start(third, **config))
    assert encoded == []
    assert chunk_keys(third) == stored
    assert torch.equal(again.teacher, expected.teacher)


@pytest.mark.nightly
@pytest.mark.parametrize("view", ["same", "center"])
def test_the_student_is_that_of_a_job_without_features_parts(machine: Callable[..., Context], view: str) -> None:
    config = {"view": view, "image_px": 48}
    alone, first = machine("alone", features_chunk=NUM_IMAGES), machine("first")
    expected = run_all(alone, start(alone, **config))
    job = run_all(first, start(first, **config))
    assert student_of(first, job) == student_of(alone, expected)
    assert job.result is not None
    assert job.result["num_bad_images"] == 1
    assert "files" not in job.result


def test_a_lost_chunk_is_encoded_by_the_training_and_stored_again_by_the_next_job(
    machine: Callable[..., Context], training_inputs: Callable[[Context, str], TrainData], encoded: list[int]
) -> None:
    first, second, third = machine("first"), machine("second"), machine("third")
    job_id = encode_all(first)
    for key in chunk_keys(first)[:2]:
        first.artefacts.delete_below(key)
    encoded.clear()
    training_inputs(second, job_id)
    assert encoded
    with first.db.read() as tx:
        warnings = [one.message for one in events.after(tx, job_id, 0, limit=1000) if one.level == "warning"]
    assert any(message.startswith("2 chunks of teacher features are missing") for message in warnings)

    encoded.clear()
    assert encode_all(third) != job_id
    assert len(encoded) == 2
    assert all(third.artefacts.exists(key) for key in chunk_keys(third))


def test_chunks_outlive_their_job_and_files_that_no_row_names_do_not(machine: Callable[..., Context]) -> None:
    context = machine("first")
    job_id = encode_all(context)
    orphan = context.artefacts.put_bytes(b"x", "features/prt_1/token/digest.safetensors")
    with context.db.write() as tx:
        tx.execute(update(Part).where(Part.job_id == job_id, Part.kind == "features").values(result=None))
    unused = {one.file.key for one in unused_artefacts.find_unused(context.db, context.artefacts, grace_s=-60)}
    assert len(chunk_keys(context)) >= NUM_CHUNKS
    assert not set(chunk_keys(context)) & unused
    assert orphan.key in unused


def test_a_part_is_planned_for_each_range_if_the_images_are_more_than_one(machine: Callable[..., Context]) -> None:
    def spans(context: Context, job_id: str) -> list[tuple[int, int]]:
        with context.db.read() as tx:
            query = select(Part.spec).where(Part.job_id == job_id, Part.kind == "features").order_by(Part.position)
            return [(spec["start"], spec["stop"]) for spec in tx.scalars(query)]

    context = machine("first")
    every = [(0, 6), (6, 12), (12, 18), (18, 20)]
    assert spans(context, start(context)) == every
    assert spans(context, start(context, view="live")) == every  # for the images that are measured
    few_measured = machine("second", features_chunk=NUM_IMAGES - 4)
    assert spans(few_measured, start(few_measured, view="live")) == []
    assert len(spans(few_measured, start(few_measured))) == 2
    whole = machine("third", features_chunk=NUM_IMAGES)
    assert spans(whole, start(whole)) == []
    request = EvaluateIn.model_validate({"kind": "evaluate", "dataset_id": "dst_1", "teacher": "local-dir:teacher"})
    with context.db.write() as tx:
        job_id = job_requests.create(tx, request, context.settings, LOCAL_PRINCIPAL)[0].id
    assert spans(context, job_id) == every
