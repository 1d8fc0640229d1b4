"""Results of jobs, written when their last part ends. On both databases."""

from store import vocabularies
from store.db import Database
from store.jobs import events, jobs
from store.jobs.jobs import NewPart
from store.jobs.part_results import EncodeResult, EvaluateResult, JobResult, PartResult, TrainPartResult
from store.jobs.specs import RangeSpec
from store.lifecycle import job_results, transitions
from store.models import Job
from store.vocabularies import NewLabel
from tests.job_specs import describe_spec
from tests.store.job_helpers import DISTILL_PARTS, create_job, get_job, must_claim_next


def finish_all(db: Database, results: list[PartResult]) -> None:
    for result in results:
        with db.write() as tx:
            transitions.finish(tx, must_claim_next(db), result)


def test_results_of_the_parts_are_merged_without_files(db: Database) -> None:
    job_id = create_job(db, *DISTILL_PARTS)
    finish_all(
        db,
        [
            EncodeResult(text_targets_id="ttg_1", teacher_id="tch_1"),
            TrainPartResult(num_steps=5, num_bad_images=1, files={"student": "parts/student"}),
            EvaluateResult(evaluation={"id": 0.5}, num_bad_images=3),
        ],
    )
    assert get_job(db, job_id).result == {
        "text_targets_id": "ttg_1",
        "teacher_id": "tch_1",
        "num_steps": 5,
        "num_bad_images": 3,
        "evaluation": {"id": 0.5},
    }


def enrich_job(db: Database, names: str) -> str:
    with db.write() as tx:
        vocabulary = vocabularies.create(tx, name="v", domain="", labels=[NewLabel(name) for name in names])
        spec = describe_spec(num_labels=len(names), vocabulary_id=vocabulary.id)
        part = NewPart(kind="describe", queue="enrich", spec=RangeSpec(start=0, stop=len(names)))
        return jobs.create(tx, spec, [part]).id


def test_an_enrich_job_without_any_response_fails(db: Database) -> None:
    job_id = enrich_job(db, "abc")
    finish_all(db, [PartResult()])
    job = get_job(db, job_id)
    assert job.status == "failed"
    assert job.error == {
        "code": "all_labels_failed",
        "message": "no label could be described (most often: worker_lost)",
    }
    assert job.result is not None
    assert job.result["attribute_set_id"] is None
    assert job.result["failed_labels"] == {"worker_lost": 3}
    assert job.result["failed_positions"] == [0, 1, 2]
    with db.read() as tx:
        warnings = [event.message for event in events.after(tx, job_id, 0, limit=100) if event.level == "warning"]
    assert warnings == ["3 labels without attributes: 3 worker_lost"]


def test_one_missing_label_is_a_label_not_labels(db: Database) -> None:
    job_id = enrich_job(db, "a")
    finish_all(db, [PartResult()])
    with db.read() as tx:
        messages = [event.message for event in events.after(tx, job_id, 0, limit=100)]
    assert "1 label without attributes: 1 worker_lost" in messages


def test_labels_of_a_cancelled_enrich_job_are_named_cancelled(db: Database) -> None:
    job_id = enrich_job(db, "ab")
    with db.write() as tx:
        transitions.cancel(tx, job_id)
    job = get_job(db, job_id)
    assert job.status == "cancelled"
    assert job.result is not None
    assert job.result["failed_labels"] == {"cancelled": 2}


def test_an_enrich_job_with_an_invalid_spec_has_an_empty_result(db: Database) -> None:
    job_id = enrich_job(db, "ab")
    with db.write() as tx:
        job = tx.get_one(Job, job_id)
        job.spec = {"strategies": []}
        assert job_results.publish_result(tx, job, []) == job_results.JobOutcome("succeeded", JobResult())
