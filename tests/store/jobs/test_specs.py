"""Specs and results as JSON: what earlier releases stored is read, and is stored again without a change."""

from typing import Any

import pytest
from sqlalchemy import update

from distill.config.recipes import resolve_train_config
from store.db import Database
from store.jobs import claims, jobs
from store.jobs.jobs import NewPart
from store.jobs.part_results import (
    CaptionsResult,
    CheckResult,
    EncodeResult,
    EvaluateResult,
    PartResult,
    ProveResult,
    RepairResult,
    ReportResult,
    TrainPartResult,
    merge_results,
)
from store.jobs.specs import parse_job_spec, parse_part_spec
from store.models import Job
from tests.job_specs import job_spec
from tests.store.job_helpers import LEASE_S

PROMPT = {"concept": "", "templates": ["a photo of {}"], "with_name": True}
ENRICH: dict[str, Any] = {"strategies": ["sentence@1"], "model": "m", "domain": "birds"}
DESCRIBE: dict[str, Any] = {**ENRICH, "vocabulary_id": "voc_1", "num_labels": 3, "mend_rounds": 1}
TEXTS: dict[str, Any] = {
    "vocabulary_id": "voc_1",
    "attribute_set_id": None,
    "teacher": "ViT-B-32:openai",
    "text": "names",
    "prompt": PROMPT,
}
CONFIG = resolve_train_config("limbeck-small", {}).model_dump(mode="json")
DISTILL: dict[str, Any] = {**TEXTS, "dataset_id": "dst_1", "recipe": "limbeck-small", "config": CONFIG}
EVALUATE: dict[str, Any] = {**TEXTS, "dataset_id": "dst_1", "subject": {"teacher": "ViT-B-32:openai"}}
CHECK: dict[str, Any] = {"attribute_set_id": "ats_1", "vocabulary_id": "voc_1", "num_labels": 3}
PROVE: dict[str, Any] = {
    "dataset_id": "dst_1",
    "vocabulary_id": "voc_1",
    "attribute_set_id": "ats_1",
    "teacher": "ViT-B-32:openai",
    "concept": "",
    "seeds": 3,
    "filter_phrases": False,
}
JOB_SPECS: list[tuple[str, dict[str, Any]]] = [
    ("enrich", DESCRIBE),
    ("enrich", {**DESCRIBE, "language": "German", "system_prompt": "You are a botanist."}),
    ("enrich", {**DESCRIBE, "samples": 2, "mode": "batch", "budget_tokens": 100, "budget_usd": "2.50"}),
    ("enrich", {**DESCRIBE, "base_set_id": "ats_1", "same_vocabulary": False}),
    ("enrich", {**DESCRIBE, "base_set_id": "ats_1", "same_vocabulary": True}),
    ("enrich", {**DESCRIBE, "teacher": "ViT-B-32:openai", "neighbours": 10, "mend_rounds": 0}),
    ("enrich", {**ENRICH, "dataset_id": "dst_1", "num_images": 8}),
    ("enrich", {**ENRICH, "dataset_id": "dst_1", "num_images": 8, "mode": "batch"}),
    ("encode", TEXTS),
    ("distill", DISTILL),
    ("distill", {**DISTILL, "start_checkpoint_id": "ckp_1", "caption_set_id": "cap_1"}),
    ("evaluate", EVALUATE),
    ("evaluate", {**EVALUATE, "subject": {"checkpoint_id": "ckp_1"}, "shots": 4}),
    ("prove", PROVE),
    ("check", CHECK),
    ("check", {**CHECK, "teacher": "ViT-B-32:openai", "text": "names", "prompt": PROMPT}),
]
PART_SPECS: list[tuple[str, dict[str, Any]]] = [
    ("describe", {"start": 0, "stop": 3}),
    ("caption", {"start": 0, "stop": 8}),
    ("assemble", {"start": 0, "stop": 1}),
    ("contrast", {"step": 1, "pairs": [[0, 2], [1, 2]]}),
    ("neighbours", {"steps": [1, 2]}),
    ("mend", {"round": 1}),
    ("correct", {"round": 1, "file_key": "parts/x/questions.jsonl", "start": 0, "stop": 90}),
    ("report", {}),
    ("encode", {}),
    ("train", {}),
    ("check", {}),
]
RESULTS: list[tuple[type[PartResult], dict[str, Any]]] = [
    (PartResult, {}),
    (EncodeResult, {"text_targets_id": "t", "teacher_id": "c", "num_truncated": 0, "num_without_attributes": 2}),
    (TrainPartResult, {"num_steps": 9, "train_seconds": 1.5, "num_bad_images": 1, "files": {"student": "k"}}),
    (EvaluateResult, {"evaluation": {"top1": 0.5, "per_label": [1, None]}, "num_bad_images": 0}),
    (EvaluateResult, {"evaluation": {}, "num_bad_images": 0, "checkpoint_id": "ckp_1"}),
    (ProveResult, {"proof": {"arms": []}, "num_bad_images": 0, "attribute_set_id": None}),
    (RepairResult, {"mended": {"round": 1, "num_labels": 2, "num_asked": 3, "num_better": 0, "file_key": None}}),
    (ReportResult, {"report": {"teacher": "", "figures": {"gates": []}, "file_key": "k", "failures": {"own": [1]}}}),
    (CheckResult, {"attribute_set_id": "ats_1", "failing_gates": ["own"]}),
    (CaptionsResult, {"caption_set_id": "cap_1"}),
]


@pytest.mark.parametrize(("kind", "stored"), JOB_SPECS)
def test_stored_specs_of_jobs_are_read_and_stored_without_a_change(kind: str, stored: dict[str, Any]) -> None:
    assert parse_job_spec(kind, stored).as_json() == stored


@pytest.mark.parametrize(("kind", "stored"), PART_SPECS)
def test_stored_specs_of_parts_are_read_and_stored_without_a_change(kind: str, stored: dict[str, Any]) -> None:
    assert parse_part_spec(kind, stored).as_json() == stored


@pytest.mark.parametrize(("kind", "stored"), RESULTS)
def test_stored_results_are_read_and_stored_without_a_change(kind: type[PartResult], stored: dict[str, Any]) -> None:
    assert kind.model_validate(stored).as_json() == stored


def test_merged_results_have_no_files_and_no_fields_of_other_parts() -> None:
    results = [stored for kind, stored in RESULTS if kind in (EncodeResult, TrainPartResult)]
    expected = {name: value for stored in results for name, value in stored.items() if name != "files"}
    assert merge_results([*results, None]).as_json() == expected


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "stored"), JOB_SPECS)
def test_a_part_of_a_job_of_an_earlier_release_is_claimed(db: Database, kind: str, stored: dict[str, Any]) -> None:
    with db.write() as tx:
        job = jobs.create(tx, job_spec("distill"), [NewPart(kind="report", queue="enrich")])
        tx.execute(update(Job).where(Job.id == job.id).values(kind=kind, spec=stored))
        (part_id,) = claims.ready(tx, ["enrich"])
        claim = claims.claim(tx, part_id, worker="w", lease_s=LEASE_S)
    assert claim is not None
    assert claim.fault == ""
    assert claim.job_spec == parse_job_spec(kind, stored)
