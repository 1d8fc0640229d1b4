"""The check of a whole job: what is refused before anything is stored, and what would be reused."""

from typing import Any

import pytest

from api.jobs import machine_checks
from api.jobs.machine_checks import StudentTrial
from store.models import AttributeSet, Dataset, Job, Vocabulary
from tests.api.conftest import Service

TEACHER = "ViT-B-32:openai"
LABELS = ["crane", "heron", "stork", "ibis"]


@pytest.fixture(autouse=True)
def no_student_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_checks, "try_student", lambda config, settings: None)


def whole_job(path: str, **distill: Any) -> dict[str, Any]:
    enrich = {"kind": "enrich", "vocabulary_id": "planned", "strategies": ["sentence"]}
    wanted = {
        "kind": "distill",
        "dataset_id": "planned",
        "attribute_set_id": "planned",
        "teacher": TEACHER,
        "text": "sentence",
    }
    return {
        "vocabulary": {"name": "birds", "domain": "birds", "labels": LABELS},
        "dataset": {"path": path},
        "jobs": [enrich, wanted | distill],
    }


def num_rows(service: Service) -> int:
    with service.db.read() as tx:
        return sum(tx.query(model).count() for model in (Vocabulary, Dataset, AttributeSet, Job))


def test_a_whole_job_is_planned_and_nothing_is_stored(service: Service) -> None:
    planned = service.post("/v1/plan", whole_job(service.images(*LABELS)), status=200)
    assert num_rows(service) == 0
    assert planned["vocabulary"] == {"num_labels": 4, "same_id": None}
    assert planned["dataset"]["labels"] == [0, 1, 2, 3]
    assert planned["dataset"]["counts"]["train"] > 0
    enrich, distill = planned["jobs"]
    assert enrich["estimate"]["calls"] == 4
    assert distill["spec"]["config"]["student"]["architecture"] == "resnet18"
    assert (enrich["same_job_id"], distill["same_job_id"]) == (None, None)


def test_a_plan_names_what_would_be_reused(service: Service) -> None:
    body = whole_job(service.images(*LABELS))
    vocabulary_id = service.post("/v1/vocabularies", body["vocabulary"])["id"]
    dataset_id = service.post("/v1/datasets", {"path": "images", "vocabulary_id": vocabulary_id})["id"]
    enrich = {**body["jobs"][0], "vocabulary_id": vocabulary_id}
    enrich_id = service.post("/v1/jobs", enrich, status=202)["id"]
    planned = service.post("/v1/plan", body, status=200)
    assert (planned["vocabulary"]["same_id"], planned["dataset"]["same_id"]) == (vocabulary_id, dataset_id)
    assert [job["same_job_id"] for job in planned["jobs"]] == [enrich_id, None]
    set_id = service.attribute_set(vocabulary_id)
    with service.db.write() as tx:
        job = tx.get_one(Job, enrich_id)
        job.status, job.result = "succeeded", {"attribute_set_id": set_id}
    ids = {"dataset_id": dataset_id, "attribute_set_id": set_id}
    distill_id = service.post("/v1/jobs", {**body["jobs"][1], **ids}, status=202)["id"]
    planned = service.post("/v1/plan", body, status=200)
    assert [job["same_job_id"] for job in planned["jobs"]] == [enrich_id, distill_id]
    stored = [enrich, {**body["jobs"][1], "dataset_id": dataset_id}]
    planned = service.post("/v1/plan", {"jobs": stored}, status=200)
    assert [job["same_job_id"] for job in planned["jobs"]] == [enrich_id, distill_id]


@pytest.mark.parametrize(
    ("change", "code", "pointer"),
    [
        ({"config": {"student": {"architecture": "resnet81"}}}, "student_unknown", "/jobs/1/config/student"),
        ({"config": {"schedule": {"epoch": 3}}}, "config_invalid", "/jobs/1/config/schedule/epoch"),
        ({"recipe": "limbec"}, "recipe_unknown", "/jobs/1/recipe"),
        ({"teacher": "ViT-B-32:openia"}, "teacher_unknown", "/jobs/1/teacher"),
        (
            {"config": {"losses": {"cap": 1}}, "caption_set_id": "cap_0"},
            "caption_set_not_found",
            "/jobs/1/caption_set_id",
        ),
        ({"config": {"losses": {"cap": 1}}}, "captions_missing", "/jobs/1/caption_set_id"),
    ],
)
def test_invalid_jobs_are_refused_with_near_names(
    service: Service, change: dict[str, Any], code: str, pointer: str
) -> None:
    problem = service.rejection("/v1/plan", whole_job(service.images(*LABELS), **change))
    assert num_rows(service) == 0
    if code != "config_invalid":
        assert problem["code"] == code
    assert problem["errors"][0]["pointer"].startswith(pointer)
    assert "closest" in problem["detail"] or code.startswith("caption")


def test_labels_and_images_are_refused_with_pointers_into_the_plan(service: Service) -> None:
    body = whole_job(service.images(*LABELS))
    twice = {"name": "birds", "labels": ["crane", "crane"]}
    assert service.rejection("/v1/plan", body | {"vocabulary": twice})["errors"][0]["pointer"].startswith("/vocabulary")
    missing = service.rejection("/v1/plan", body | {"dataset": {"path": "nowhere"}})
    assert (missing["code"], missing["errors"][0]["pointer"]) == ("no_such_folder", "/dataset/path")
    no_labels = {key: value for key, value in body.items() if key != "vocabulary"}
    assert service.rejection("/v1/plan", no_labels)["code"] == "vocabulary_missing"


def test_a_student_that_cannot_be_built_and_a_full_disk_are_refused(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = whole_job(service.images(*LABELS))
    monkeypatch.setattr(machine_checks, "try_student", lambda config, settings: StudentTrial(error="no 64 px"))
    problem = service.rejection("/v1/plan", body)
    assert (problem["code"], problem["errors"][0]["pointer"]) == ("student_unbuildable", "/jobs/1/config/student")
    huge = StudentTrial(num_bytes=10**18)
    monkeypatch.setattr(machine_checks, "try_student", lambda config, settings: huge)
    assert service.rejection("/v1/plan", body, status=507)["code"] == "disk_full"
