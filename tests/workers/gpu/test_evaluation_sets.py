"""An evaluate job measures domains, unknown images, corruptions against a closed-set baseline, and outlier labels."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from distill.data.dataset.scan import scan
from distill.data.splits import SPLIT
from distill.evaluation import further
from limbeck.shared.bundle.open_set import OUTLIERS_FILE
from store import resources, vocabularies
from store.artefacts import Artefacts
from store.db import Database
from store.jobs import claims, jobs
from store.jobs.jobs import NewPart
from store.jobs.specs import CheckpointSubject, EvaluateSpec, JobSpec
from store.json_types import LineJSON
from store.models import Checkpoint, Job
from store.sets import attribute_sets
from store.settings import Settings
from store.vocabularies import NewLabel
from tests.distill.conftest import save_clip, tiny_clip_config
from tests.job_specs import distill_spec
from workers.gpu.parts import WORK
from workers.runtime.context import Context
from workers.runtime.run_part import claim_part, run_claimed

LABELS = ("blue jay", "crane", "heron", "red finch")
THINGS = ("anvil", "bucket")
BY_LIST: dict[str, Any] = {"by": "list", "id": ["red finch", "crane"], "ood": ["blue jay", "heron"], "held_out": 0.5}
ALL: dict[str, Any] = {"by": "all", "part": "test"}
TEACHER = "local-dir:teacher"
CONFIG = {
    "student": "test_resnet",
    "image_px": 32,
    "epochs": 1,
    "batch_size": 8,
    "num_workers": 1,
    "threads": 1,
    "onnx": False,
}


def write_images(folder: Path, labels: Sequence[str], num: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    for label in labels:
        (folder / label).mkdir(parents=True)
        for number in range(num):
            pixels = random.integers(0, 256, size=(32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{number}.png")


@pytest.fixture
def context(sqlite_db: Database, tmp_path: Path) -> Context:
    write_images(tmp_path / "data" / "birds", LABELS, 24, 0)
    write_images(tmp_path / "data" / "sketches", LABELS[:3], 3, 1)
    write_images(tmp_path / "data" / "things", THINGS, 4, 2)
    save_clip(tmp_path / "data" / "teacher", tiny_clip_config())
    settings = Settings(
        home=tmp_path,
        data_root=tmp_path / "data",
        redis_url="",  # type: ignore[arg-type]
        tensorboard_dir=tmp_path / "events",
    )
    return Context(settings, sqlite_db, Artefacts(settings.artefacts))


def add_dataset(context: Context, name: str, labels: Sequence[str], split: dict[str, Any]) -> str:
    """Register a folder with a vocabulary of its own; returns the id of the vocabulary."""
    folder = context.settings.data / name
    index = scan(folder, labels, SPLIT.validate_python(split))
    manifest = context.settings.data.parent / f"{name}.jsonl"
    index.save(manifest)
    with context.db.write() as tx:
        vocabulary = vocabularies.create(tx, name=name, domain="", labels=[NewLabel(one) for one in labels])
        resources.add_dataset(
            tx,
            id=f"dst_{name}",
            vocabulary_id=vocabulary.id,
            name=name,
            path=name,
            split=split,
            counts=index.counts,
            digest=index.digest,
            manifest_key=context.artefacts.put_file(manifest, name).key,
        )
        return vocabulary.id


def run_job(context: Context, spec: JobSpec, kinds: Sequence[str]) -> Job:
    """Run all parts of a new job."""
    with context.db.write() as tx:
        job_id = jobs.create(tx, spec, [NewPart(kind=kind, queue="gpu", stage=at) for at, kind in enumerate(kinds)]).id
    for _ in kinds:
        with context.db.read() as tx:
            (part_id,) = claims.ready(tx, ["gpu"])
        claim = claim_part(context, part_id)
        assert claim is not None
        run_claimed(context, claim, WORK[claim.kind])
    with context.db.read() as tx:
        job = jobs.get(tx, job_id)
    assert job.status == "succeeded", job.error
    return job


@pytest.mark.slow
def test_an_evaluation_measures_all_sets(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = ("contrast", "fog")  # all of them take long; tests/distill/evaluation/corruptions has each
    monkeypatch.setattr(further, "measure_corruptions", partial(further.measure_corruptions, kinds=kinds))
    vocabulary_id = add_dataset(context, "birds", LABELS, BY_LIST)
    add_dataset(context, "sketches", LABELS[:3], ALL)
    add_dataset(context, "things", THINGS, ALL)
    lines: list[LineJSON] = [
        {"kind": "phrase", "text": "stork", "origin": "llm", "strategy": "outliers@1"},
        {"kind": "phrase", "text": "Heron", "origin": "llm", "strategy": "outliers@1"},  # a label
        {"kind": "phrase", "text": "long legs", "origin": "llm", "strategy": "phrases@1"},  # an attribute
    ]
    with context.db.write() as tx:
        entries = [attribute_sets.EntryContent(label=name, sense=None, lines=lines, flags=[]) for name in LABELS]
        pages = attribute_sets.put_pages(tx, entries)
        set_id = attribute_sets.create(tx, vocabulary_id=vocabulary_id, pages=pages, source={}).id
    common = {
        "dataset_id": "dst_birds",
        "vocabulary_id": vocabulary_id,
        "teacher": TEACHER,
        "attribute_set_id": set_id,
        "text": "phrases",
    }
    trained = run_job(context, distill_spec(**common, config=CONFIG), ("encode", "train", "evaluate"))
    baseline = run_job(
        context, distill_spec(**common, config={**CONFIG, "protocol": "closed_set"}), ("encode", "train", "evaluate")
    )
    assert trained.result is not None
    checkpoint_id = str(trained.result["checkpoint_id"])
    with context.db.read() as tx:
        of_training = tx.get_one(Checkpoint, checkpoint_id).evaluation
        resources.checkpoint_file(tx, checkpoint_id, OUTLIERS_FILE)
    # Without further sets, a student has recall and near unknowns, with the look-alikes of its attributes; the
    # baseline, which has no texts, has neither.
    assert [one["kind"] for one in of_training["open_set"]["unknown"]] == ["near"]
    assert of_training["open_set"]["num_outliers"] == 1
    assert list(of_training["none_of_these_by_score"]) == ["energy", "outliers"]
    assert of_training["recall"]["id"]["text_to_image"]["num_queries"] == 2
    assert {"domains", "corruptions"}.isdisjoint(of_training)
    assert baseline.result is not None
    assert {"recall", "open_set"}.isdisjoint(baseline.result["evaluation"])

    spec = EvaluateSpec(
        subject=CheckpointSubject(checkpoint_id=checkpoint_id),
        **common,
        domain_dataset_ids=("dst_sketches",),
        far_dataset_id="dst_things",
        corruption_images=2,
        baseline_job_id=baseline.id,
        outlier_set_id=set_id,
    )
    job = run_job(context, spec, ("encode", "evaluate"))
    assert job.result is not None
    found: dict[str, Any] = job.result["evaluation"]  # type: ignore[assignment]
    assert found["id"]["accuracy"] == of_training["id"]["accuracy"]
    # "crane" is a seen label of the sketches; "blue jay" and "heron" are unseen.
    by_part = {part: found["domains"][part]["domains"][0] for part in ("id", "ood")}
    assert [(one["name"], one["num_labels"], one["num_images"]) for one in by_part.values()] == [
        ("sketches", 1, 3),
        ("sketches", 2, 6),
    ]
    assert [(one["kind"], one["source"], one["num_images"]) for one in found["open_set"]["unknown"]] == [
        ("near", "unseen labels of the dataset", 48),
        ("far", "things", 8),
    ]
    assert found["open_set"]["num_outliers"] == 1
    assert {score["score"] for score in found["open_set"]["unknown"][0]["scores"]} == {"cosine", "energy", "outliers"}
    corruptions = found["corruptions"]
    assert [one["kind"] for one in corruptions["id"]["kinds"]] == list(kinds)
    assert [one["kind"] for one in corruptions["baseline"]["kinds"]] == list(kinds)
    assert corruptions["id"]["num_images"] + corruptions["ood"]["num_images"] == 2
    assert corruptions["ood"]["mce"] is None
    of_fog = {one["kind"]: one for one in corruptions["id"]["kinds"]}["fog"]
    against = {one["kind"]: one for one in corruptions["baseline"]["kinds"]}["fog"]
    if against["error"]:
        assert of_fog["ce"] == pytest.approx(of_fog["error"] / against["error"])
