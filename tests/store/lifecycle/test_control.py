"""Pausing, resuming and retrying jobs, and their priority. On both databases."""

import pytest
from sqlalchemy import select, text, update

from store import resources, vocabularies
from store.access.principals import LOCAL_PRINCIPAL
from store.artefacts import StoredArtefact
from store.db import Database
from store.enrich import results
from store.enrich.results import ResultSlot
from store.errors import Conflict, InUse
from store.jobs import claims, events, jobs, live_figures, waiting
from store.jobs.jobs import NewPart
from store.jobs.part_results import EncodeResult, PartResult
from store.jobs.specs import RangeSpec
from store.lifecycle import control, transitions
from store.models import Dataset, Job, Part, Vocabulary
from store.removal.delete import delete_resource
from store.vocabularies import NewLabel
from tests.job_specs import NumberedResult, describe_spec, job_spec
from tests.store.job_helpers import DISTILL_PARTS, claim_next, create_job, get_job, must_claim_next, part_statuses


@pytest.fixture(autouse=True)
def inputs(db: Database) -> None:
    """The inputs that the jobs of `create_job` name."""
    with db.write() as tx:
        tx.add(Vocabulary(id="voc_1", name="v", domain="", digest="d", num_labels=1, created_at=0.0))
        tx.flush()
        dataset = Dataset(id="dst_1", vocabulary_id="voc_1", name="d", path="d", split={}, counts={}, created_at=0.0)
        dataset.digest = dataset.manifest_key = "d"
        tx.add(dataset)


def change(db: Database, verb: str, job_id: str) -> Job:
    with db.write() as tx:
        if verb == "retry":
            return control.retry(tx, job_id, LOCAL_PRINCIPAL)
        changed: Job = getattr(control, verb)(tx, job_id)
        return changed


def make_due(db: Database) -> None:
    with db.write() as tx:
        tx.execute(text("update parts set not_before = 0"))


def states(db: Database, job_id: str) -> list[str]:
    with db.read() as tx:
        return [event.message for event in events.after(tx, job_id, 0, limit=100) if event.type == "state"]


def test_a_queued_job_is_paused_at_once_and_nothing_of_it_starts(db: Database) -> None:
    job_id = create_job(db, *DISTILL_PARTS)
    assert change(db, "pause", job_id).status == "paused"
    assert change(db, "pause", job_id).status == "paused"
    assert claim_next(db) is None
    assert part_statuses(db) == ["paused", "waiting", "waiting"]
    assert change(db, "resume", job_id).status == "queued"
    assert change(db, "resume", job_id).status == "queued"
    assert must_claim_next(db).kind == "encode"
    assert states(db, job_id) == ["queued", "pausing", "paused", "queued", "running"]


@pytest.mark.parametrize("ends", ["pause", "cancel"])
def test_a_resumed_or_retried_part_waits_since_then(db: Database, ends: str) -> None:
    job_id = create_job(db)
    with db.write() as tx:
        tx.execute(update(Part).values(queued_at=1.0))
        control.pause(tx, job_id) if ends == "pause" else transitions.cancel(tx, job_id)
    with db.read() as tx:
        paused = {("distill", "paused"): 1} if ends == "pause" else {}
        assert (live_figures.active_jobs(tx), live_figures.queues(tx)["gpu"].depth) == (paused, 0)
    change(db, "resume" if ends == "pause" else "retry", job_id)
    with db.read() as tx:
        queue = live_figures.queues(tx)["gpu"]
        assert live_figures.live_parts(tx) == {("gpu", "queued"): 1}
    assert queue.depth == 1
    assert queue.oldest_s < 60


def test_a_running_part_is_asked_to_stop_and_keeps_its_lease_until_it_is_released(db: Database) -> None:
    job_id = create_job(db)
    claim = must_claim_next(db)
    assert change(db, "pause", job_id).status == "pausing"
    with db.read() as tx:
        assert claims.stop_request(tx, claim) == "pause"
    with db.write() as tx:
        claims.renew(tx, claim, lease_s=30.0)
        claims.save_state(tx, claim, f"{claim.place}/state/1", units=3)
        transitions.release(tx, claim)
    assert get_job(db, job_id).status == "paused"
    assert part_statuses(db) == ["paused"]
    change(db, "resume", job_id)
    resumed = must_claim_next(db)
    assert (resumed.state_key, resumed.attempt) == (f"{claim.place}/state/1", 1)


def test_the_parts_of_the_next_stage_are_paused_too(db: Database) -> None:
    job_id = create_job(db, *DISTILL_PARTS)
    claim = must_claim_next(db)
    change(db, "pause", job_id)
    with db.write() as tx:
        transitions.finish(tx, claim, PartResult())
    assert part_statuses(db) == ["succeeded", "paused", "waiting"]
    assert get_job(db, job_id).status == "paused"
    change(db, "resume", job_id)
    assert must_claim_next(db).kind == "train"


def test_a_job_whose_last_part_ends_while_it_pauses_succeeds(db: Database) -> None:
    job_id = create_job(db)
    claim = must_claim_next(db)
    change(db, "pause", job_id)
    with db.write() as tx:
        transitions.finish(tx, claim, NumberedResult(x=1))
    assert (get_job(db, job_id).status, get_job(db, job_id).stopping) == ("succeeded", None)


def test_a_resume_while_parts_still_stop_lets_them_start_again(db: Database) -> None:
    job_id = create_job(db)
    claim = must_claim_next(db)
    change(db, "pause", job_id)
    assert change(db, "resume", job_id).status == "running"
    with db.write() as tx:
        transitions.release(tx, claim)
    assert must_claim_next(db).part_id == claim.part_id


def test_a_worker_that_dies_or_fails_while_the_job_pauses_leaves_a_paused_part(db: Database) -> None:
    for lost in (True, False):
        job_id = create_job(db)
        claim = must_claim_next(db)
        change(db, "pause", job_id)
        with db.write() as tx:
            if lost:
                transitions.lose(tx, claim.part_id, claim.token, code="worker_lost", message="m", max_attempts=3)
            else:
                transitions.fail(tx, claim, code="x", message="m", retry_in_s=0.0, max_attempts=3)
        assert get_job(db, job_id).status == "paused"
        assert claim_next(db) is None


@pytest.mark.parametrize("runs", [False, True])
def test_a_paused_or_pausing_job_can_be_cancelled(db: Database, runs: bool) -> None:
    job_id = create_job(db, *DISTILL_PARTS)
    claim = must_claim_next(db) if runs else None
    change(db, "pause", job_id)
    with db.write() as tx:
        transitions.cancel(tx, job_id)
        if claim is not None:
            transitions.release(tx, claim)
    assert get_job(db, job_id).status == "cancelled"
    assert part_statuses(db) == ["cancelled", "cancelled", "cancelled"]
    for verb in ("pause", "resume"):
        with pytest.raises(Conflict) as refused:
            change(db, verb, job_id)
        assert refused.value.code == "job_ended"


def test_a_failed_job_continues_with_what_it_has(db: Database) -> None:
    job_id = create_job(db, *DISTILL_PARTS)
    with db.write() as tx:
        transitions.finish(tx, must_claim_next(db), NumberedResult(encode=1))
    training = must_claim_next(db)
    with db.write() as tx:
        claims.save_state(tx, training, f"{training.place}/state/1", units=7)
        transitions.fail(tx, training, code="x", message="no")
    failed = get_job(db, job_id)
    assert (failed.status, part_statuses(db)) == ("failed", ["succeeded", "failed", "cancelled"])
    again = change(db, "retry", job_id)
    assert (again.status, again.error, again.result, again.finished_at) == ("queued", None, None, None)
    assert part_statuses(db) == ["succeeded", "queued", "waiting"]
    resumed = must_claim_next(db)
    assert (resumed.kind, resumed.state_key) == ("train", f"{training.place}/state/1")
    with db.write() as tx:
        transitions.finish(tx, resumed, NumberedResult(train=1))
    with db.write() as tx:
        transitions.finish(tx, must_claim_next(db), NumberedResult(evaluate=1))
    done = get_job(db, job_id)
    assert (done.status, done.result) == ("succeeded", {"encode": 1, "train": 1, "evaluate": 1})


def test_a_retry_gives_the_part_all_its_attempts_again(db: Database) -> None:
    job_id = create_job(db)
    for _ in range(2):
        for attempt in (1, 2):
            make_due(db)
            ended = False
            with db.write() as tx:
                ended = transitions.fail(
                    tx, must_claim_next(db), code="teacher_not_found", message="m", retry_in_s=30.0, max_attempts=2
                )
            assert ended == (attempt == 2)
        change(db, "retry", job_id)


def test_a_cancelled_job_can_be_retried_and_others_cannot(db: Database) -> None:
    job_id = create_job(db)
    with pytest.raises(Conflict) as refused:
        change(db, "retry", job_id)
    assert refused.value.code == "job_not_failed"
    with db.write() as tx:
        transitions.cancel(tx, job_id)
    change(db, "retry", job_id)
    with db.write() as tx:
        transitions.finish(tx, must_claim_next(db), PartResult())
    with pytest.raises(Conflict, match="post the same request again"):
        change(db, "retry", job_id)


def test_a_spent_budget_refuses_a_retry(db: Database) -> None:
    job_id = create_job(db)
    with db.write() as tx:
        transitions.fail(tx, must_claim_next(db), code="budget_spent", message="spent")
    with pytest.raises(Conflict, match="larger budget") as refused:
        change(db, "retry", job_id)
    assert refused.value.code == "budget_spent"


@pytest.mark.parametrize("what", ["input", "result"])
def test_a_job_whose_inputs_are_deleted_cannot_be_retried(db: Database, what: str) -> None:
    job_id = create_job(db, *DISTILL_PARTS)
    claim = must_claim_next(db)
    with db.write() as tx:
        teacher = resources.put_teacher(
            tx, ref="t", digest="d", width=8, context_length=77, logit_scale=100.0, preprocess={}, tokenizer_key="k"
        )
        targets = resources.add_text_targets(
            tx,
            vocabulary_id="voc_1",
            attribute_set_id=None,
            teacher_id=teacher.id,
            job_id=job_id,
            text="names",
            num_labels=1,
            width=8,
            report={},
            file=StoredArtefact("k", "d", 1),
        )
        transitions.finish(tx, claim, EncodeResult(text_targets_id=targets.id, teacher_id=teacher.id))
    change(db, "pause", job_id)
    kind, id = ("dataset", "dst_1") if what == "input" else ("text_targets", targets.id)
    with db.write() as tx, pytest.raises(InUse) as in_use:
        delete_resource(tx, kind, id)  # type: ignore[arg-type]
    assert in_use.value.code == "job_running"
    change(db, "resume", job_id)
    with db.write() as tx:
        transitions.cancel(tx, job_id)
        delete_resource(tx, kind, id)  # type: ignore[arg-type]
    with pytest.raises(Conflict, match=f"{id} .* has been deleted") as refused:
        change(db, "retry", job_id)
    assert refused.value.code == "input_deleted"
    assert get_job(db, job_id).status == "cancelled"
    assert part_statuses(db) == ["succeeded", "cancelled", "cancelled"]


def test_the_queue_follows_priorities(db: Database) -> None:
    ids = {}
    for priority in (0, -5, 10, 0):
        with db.write() as tx:
            job = jobs.create(tx, job_spec("encode"), [NewPart(kind="encode", queue="gpu")], priority=priority)
            ids[job.id] = priority
    order = list(ids)
    with db.read() as tx:
        ahead = {id: waits.ahead for id, waits in waiting.of_jobs(tx, order).items()}
        assert [ahead[id] for id in order] == [1, 3, 0, 2]
        parts = dict(tx.execute(select(Part.id, Part.job_id)).all())  # type: ignore[arg-type]
        assert [parts[id] for id in claims.ready(tx, ["gpu"])] == [order[2], order[0], order[3], order[1]]
    with db.write() as tx:
        control.set_priority(tx, order[1], 20)
    assert must_claim_next(db).job_id == order[1]


def test_a_message_about_a_part_starts_a_more_urgent_one_first(db: Database) -> None:
    first, second = create_job(db), create_job(db)
    with db.read() as tx:
        part_ids = {job_id: id for id, job_id in tx.execute(select(Part.id, Part.job_id))}
        assert claims.ready_for_message(tx, "gpu", part_ids[second])[0] == part_ids[second]  # of equal priority
    with db.write() as tx:
        control.set_priority(tx, first, 1)
    with db.read() as tx:
        assert claims.ready_for_message(tx, "gpu", part_ids[second]) == [part_ids[first], part_ids[second]]
    must_claim_next(db)
    with db.read() as tx:  # a message about a part that runs already starts the other one
        assert claims.ready_for_message(tx, "gpu", part_ids[first]) == [part_ids[second]]


def test_a_worker_does_not_continue_a_job_before_a_more_urgent_one(db: Database) -> None:
    job_id = create_job(db, *DISTILL_PARTS)
    urgent = create_job(db)
    claim = must_claim_next(db)
    with db.write() as tx:
        control.set_priority(tx, urgent, 1)
        tx.execute(update(Part).where(Part.job_id == urgent).values(status="waiting"))
        transitions.finish(tx, claim, PartResult())
        assert claims.next_part(tx, job_id, "gpu") is not None
        tx.execute(update(Part).where(Part.job_id == urgent).values(status="queued"))
        assert claims.next_part(tx, job_id, "gpu") is None


def test_an_enrichment_asks_again_only_what_has_no_response(db: Database) -> None:
    with db.write() as tx:
        vocabulary = vocabularies.create(tx, name="v", domain="", labels=[NewLabel("a"), NewLabel("b")])
        spec = describe_spec(num_labels=2, vocabulary_id=vocabulary.id)
        parts = [NewPart(kind="describe", queue="enrich", spec=RangeSpec(start=i, stop=i + 1)) for i in range(2)]
        last = NewPart(kind="assemble", queue="enrich", spec=RangeSpec(start=0, stop=1), stage=1)
        job_id = jobs.create(tx, spec, [*parts, last]).id
    for position in range(2):
        claim = must_claim_next(db)
        with db.write() as tx:
            results.record_failures(tx, claim, [(ResultSlot(0, position), "timeout", "no response")])
            transitions.finish(tx, claim, PartResult())
    claim = must_claim_next(db)
    with db.write() as tx:
        transitions.finish(tx, claim, PartResult())
    assert (get_job(db, job_id).error or {})["code"] == "all_labels_failed"
    change(db, "retry", job_id)
    assert part_statuses(db) == ["queued", "queued", "waiting"]
    claim = must_claim_next(db)
    with db.read() as tx:
        assert results.finished_questions(tx, claim, start=0, stop=2) == set()
