"""A service in which every text of people, files, workers and LLMs is hostile, and the addresses of all its pages."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2

from distill.config.recipes import RECIPES
from distill.evaluation.samples import Guess, Sample, save_samples
from limbeck import Client
from store.artefacts import Artefacts
from store.db import Database
from store.jobs import claims, events
from store.lifecycle import transitions
from store.models import Checkpoint, Dataset, Job, SetReport
from store.settings import Settings
from tests.api.drafting import IMPORT
from tests.api.pages.evaluated import evaluation, part
from tests.api.published import publish
from tests.images import tiny_image

IMG = "<img src=x onerror=window.__x=1>"
SCRIPT = "<script>window.__x=1</script>"
LINK = "javascript:window.__x=1"
TEMPLATE = "{{7*7}} ${7*7} {% raw %}"
RIGHT_TO_LEFT = "\u202edesrever \u2067dne"
QUOTES = "\"'><svg onload=window.__x=1>"
HEBREW = "\u05e9\u05dc\u05d5\u05dd (\u05e2\u05d5\u05dc\u05dd)"
LABELS = (IMG, SCRIPT, LINK, TEMPLATE, HEBREW, QUOTES)
"""A label may be of letters that run from right to left, and may not have marks that turn the text around it."""
HOSTILE = (*LABELS, RIGHT_TO_LEFT)


def fill(url: str, settings: Settings, db: Database) -> list[str]:
    """Fill the service; returns the address of each page with something on it."""
    with Client(url) as client:
        vocabulary_id = client.vocabularies.create(f"{IMG} {TEMPLATE}", list(LABELS), domain=f"birds {QUOTES}").id
        folder = settings.data / IMG
        for label in (IMG, QUOTES, LINK):
            (folder / label.replace("/", "_")).mkdir(parents=True)
            for number in range(2):
                path = folder / label.replace("/", "_") / f"{number} {QUOTES[2:]}.png"
                path.write_bytes(tiny_image(f"{label} {number}"))
        dataset_id = client.datasets.create(
            vocabulary_id, IMG, split={"by": "seed", "held_out": 0.5}, name=f"{SCRIPT} {HEBREW}"
        ).id
        document = {
            "format": "limbeck.attributes",
            "version": 2,
            "entries": [
                {
                    "label": label,
                    "lines": [
                        {"kind": "sentence", "text": f"{IMG} {SCRIPT} {LINK}", "origin": "llm"},
                        {"kind": "phrase", "text": QUOTES, "part": TEMPLATE, "value": HEBREW, "origin": "llm"},
                    ],
                }
                for label in LABELS
            ],
        }
        body = {"format": "json", "vocabulary_id": vocabulary_id, "document": document}
        set_id = httpx2.post(url + IMPORT, json=body).raise_for_status().json()["id"]
        running = client.jobs.create("enrich", vocabulary_id=vocabulary_id, strategies=["sentence"]).id
        failed = client.jobs.create("enrich", vocabulary_id=vocabulary_id, strategies=["phrases"]).id
    _work(db, running, failed)
    _publish(db, settings, vocabulary_id, dataset_id, set_id)
    label = f"/students/ckp_1/label?name={quote(IMG, safe='')}"
    return [
        "/",
        "/example",
        *("/vocabularies", "/vocabularies/new", f"/vocabularies/{vocabulary_id}"),
        *("/images", "/images/new", f"/images/{dataset_id}"),
        *("/attributes", f"/attributes/{set_id}", f"/attributes/{set_id}/pairs", f"/attributes/{set_id}/changes"),
        *("/jobs", f"/jobs/{running}", f"/jobs/{failed}"),
        *("/students", "/students/ckp_1", "/students/ckp_1/labels", "/students/ckp_1/confusions", label),
        "/compare?id=ckp_1&id=ckp_2",
        *("/docs", "/docs/post-v1-jobs", "/docs/schemas/JobOut"),
        *("/sign-in", "/students/none"),
    ]


def _work(db: Database, running: str, failed: str) -> None:
    """Workers say hostile things about two jobs, and one of these jobs fails."""
    with db.write() as tx:
        taken = {}
        for part_id in claims.ready(tx, ["enrich"], limit=10):
            claim = claims.claim(tx, part_id, worker=IMG, lease_s=600)
            if claim is not None:
                taken[claim.job_id] = claim
    with db.write() as tx:
        for text in HOSTILE:
            claims.note(tx, taken[running], "message", text, level="warning")
        for number in range(1, 4):
            data = {"step": number, "loss": 1.0 / number, "losses": {IMG: 0.5 / number, QUOTES: 0.2}, "lr": 0.1}
            events.add(tx, running, "metrics", f"step {number}", data=data)
        transitions.fail_job(tx, taken[failed], code="llm_refused", message=" ".join(HOSTILE))


def _publish(db: Database, settings: Settings, vocabulary_id: str, dataset_id: str, set_id: str) -> None:
    """Two students with hostile names, labels and predictions; the first has sample images."""
    artefacts = Artefacts(settings.artefacts)
    publish(db, artefacts)
    guesses = (Guess(IMG, 0.75), Guess(SCRIPT, 0.25))
    save_samples(settings.home / "samples.jsonl", [Sample(IMG, 0, True, guesses), Sample(IMG, 1, False, guesses[::-1])])
    stored = artefacts.put_file(settings.home / "samples.jsonl", "parts/p/t/samples.jsonl")
    pairs = [(IMG, SCRIPT, 5, 0.5), (QUOTES, RIGHT_TO_LEFT, 3, 0.25)]
    own: Mapping[str, Any] = evaluation(part(dict.fromkeys(HOSTILE, 0.5), pairs), part({TEMPLATE: 0.2}))
    with db.write() as tx:
        first = tx.get_one(Checkpoint, "ckp_1")
        first.student, first.text, first.samples_key = f"{IMG} {QUOTES}", "sentence", stored.key
        first.evaluation = {**own, "teacher": [own]}
        first.vocabulary_id, first.dataset_id, first.attribute_set_id = vocabulary_id, dataset_id, set_id
        columns = {column.name: getattr(first, column.name) for column in Checkpoint.__table__.columns}
        spec = {
            "dataset_id": dataset_id,
            "vocabulary_id": vocabulary_id,
            "attribute_set_id": set_id,
            "teacher": f"local-dir:{IMG}",
            "text": "sentence",
            "recipe": "limbeck-small",
            "config": RECIPES["limbeck-small"]().model_dump(mode="json"),
        }
        tx.get_one(Job, "job_1").spec = spec
        changed = {**spec, "teacher": f"local-dir:{QUOTES}"}
        tx.add(
            Job(id="job_2", kind="distill", status="succeeded", spec=changed, tally=[], num_events=0, created_at=0.0)
        )
        tx.flush()
        better = evaluation(part(dict.fromkeys(HOSTILE, 0.75), pairs), part({TEMPLATE: 0.1}))
        other = {"id": "ckp_2", "job_id": "job_2", "student": f"{SCRIPT} {TEMPLATE}", "samples_key": None}
        tx.add(Checkpoint(**{**columns, **other, "evaluation": better}))
        for number in range(3):
            for job in ("job_1", "job_2"):
                events.add(tx, job, "metrics", "m", data={"step": number, "loss": 1.0 / (number + 1), "lr": 0.1})
        tx.get_one(Dataset, dataset_id).warnings = [f"{IMG} {SCRIPT}"]
        tx.add(SetReport(set_id=set_id, teacher=IMG, figures={}, file_key="", created_at=0.0))


def write_example(path: Path) -> Path:
    """A plan of an example with hostile names; returns its path."""
    import json

    jobs = [
        {"kind": "enrich", "vocabulary_id": "planned"},
        {"kind": "distill", "dataset_id": "planned", "attribute_set_id": "planned", "teacher": "t", "text": "sentence"},
    ]
    plan = {"vocabulary": {"name": QUOTES, "labels": [IMG, SCRIPT]}, "dataset": {"path": IMG}, "jobs": jobs}
    path.write_text(json.dumps(plan))
    return path
