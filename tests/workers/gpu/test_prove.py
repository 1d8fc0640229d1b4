"""The prove part: its result, and the set without phrases that images contradict. On both databases."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from distill.benefit import run
from distill.data.dataset.scan import scan
from distill.data.splits import SPLIT
from store import resources, vocabularies
from store.artefacts import Artefacts
from store.db import Database
from store.jobs import claims, jobs
from store.jobs.jobs import NewPart
from store.jobs.specs import ProveSpec
from store.models import Job
from store.sets import attribute_sets
from store.sets.attribute_sets import EntryContent
from store.settings import Settings
from store.vocabularies import NewLabel
from tests.distill.conftest import save_clip, tiny_clip_config
from workers.gpu.prove import prove
from workers.runtime.context import Context
from workers.runtime.run_part import claim_part, run_claimed

LABELS = ("blue jay", "crane", "heron", "red finch")
SPLIT_BY_LIST = {"by": "list", "id": ["red finch", "crane"], "ood": ["blue jay", "heron"], "held_out": 0.5}


def line(text: str, **fields: Any) -> dict[str, Any]:
    return {"kind": "phrase", "text": text, "origin": "llm", **fields}


@pytest.fixture
def context(db: Database, tmp_path: Path) -> Context:
    random = np.random.default_rng(0)
    for label in LABELS:
        folder = tmp_path / "data" / "birds" / label
        folder.mkdir(parents=True)
        for number in range(4):
            Image.fromarray(random.integers(0, 256, size=(32, 32, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    save_clip(tmp_path / "data" / "teacher", tiny_clip_config())
    settings = Settings(home=tmp_path, data_root=tmp_path / "data", redis_url="")  # type: ignore[arg-type]
    return Context(settings, db, Artefacts(settings.artefacts))


def run_prove_job(context: Context, tmp_path: Path, *, filter_phrases: bool) -> tuple[str, Job]:
    image_index = scan(tmp_path / "data" / "birds", LABELS, SPLIT.validate_python(SPLIT_BY_LIST))
    image_index.save(tmp_path / "manifest.jsonl")
    stored = context.artefacts.put_file(tmp_path / "manifest.jsonl", "m")
    lines = [line("a tail"), line("a beak", locked=True), line("a beak of mine", origin="human"), line("legs")]
    with context.db.write() as tx:
        vocabulary = vocabularies.create(tx, name="v", domain="", labels=[NewLabel(name) for name in LABELS])
        entries: list[EntryContent | None] = [
            EntryContent(label=name, sense=None, lines=lines, flags=[]) for name in LABELS
        ]
        pages = attribute_sets.put_pages(tx, entries)
        attribute_set = attribute_sets.create(
            tx, vocabulary_id=vocabulary.id, pages=pages, source={"strategy": "phrases@1"}
        )
        dataset = resources.add_dataset(
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
        spec = ProveSpec(
            dataset_id=dataset.id,
            vocabulary_id=vocabulary.id,
            attribute_set_id=attribute_set.id,
            teacher="local-dir:teacher",
            concept="bird",
            seeds=2,
            filter_phrases=filter_phrases,
        )
        job = jobs.create(tx, spec, [NewPart(kind="prove", queue="gpu")], owner="ann")
    with context.db.read() as tx:
        (part_id,) = claims.ready(tx, ["gpu"])
    claim = claim_part(context, part_id)
    assert claim is not None
    run_claimed(context, claim, prove)
    with context.db.read() as tx:
        return attribute_set.id, jobs.get(tx, job.id)


@pytest.mark.slow
def test_the_result_holds_the_proof(context: Context, tmp_path: Path) -> None:
    _, job = run_prove_job(context, tmp_path, filter_phrases=False)
    assert job.status == "succeeded", job.error
    assert job.result is not None
    proof = job.result["proof"]
    assert proof["num_images"] == {"id": 4, "ood": 8}
    assert proof["verdict"].count(".") >= 1
    assert proof["filtered"] is None
    assert job.result["attribute_set_id"] is None


@pytest.mark.slow
def test_contradicted_phrases_are_removed_but_not_those_of_people(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "contradicted_phrases", lambda *_: {1: [0, 1, 2]})
    monkeypatch.setattr(run, "drop_phrases", lambda texts, _: texts)
    set_id, job = run_prove_job(context, tmp_path, filter_phrases=True)
    assert job.result is not None, job.error
    filtered_id = job.result["attribute_set_id"]
    with context.db.read() as tx:
        row = attribute_sets.get(tx, filtered_id)
        entries = attribute_sets.entries(tx, filtered_id)
        before = attribute_sets.entries(tx, set_id)
    assert (row.parent_id, row.source["filtered_by"], row.source["strategy"]) == (set_id, job.id, "phrases@1")
    assert row.owner == "ann"
    assert [at for at in range(4) if entries[at] != before[at]] == [1]
    assert entries[1] is not None
    assert [one["text"] for one in entries[1].lines] == ["a beak", "a beak of mine", "legs"]
