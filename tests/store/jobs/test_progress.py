"""The progress stored with a job equals the sum over its parts after every transition. On both databases."""

import random
import re
from collections.abc import Sequence

import pytest
from sqlalchemy import select

from store import vocabularies
from store.db import Database
from store.errors import LeaseLost
from store.jobs import claims, jobs, progress
from store.jobs.claims import Claim
from store.jobs.jobs import NewPart
from store.jobs.part_results import PartResult
from store.jobs.progress import Progress, Stage
from store.jobs.specs import JobKind
from store.lifecycle import transitions
from store.models import Part
from store.vocabularies import NewLabel
from tests.job_specs import describe_spec, job_spec

UNITS = {"describe": "labels", "encode": "texts", "train": "steps"}
ACTIONS = ("claim", "claim", "progress", "progress", "finish", "fail", "retry", "defer", "lose", "add")
PARTS = [
    *(NewPart(kind="describe", queue="enrich", total=4 + n, unit="labels") for n in range(5)),
    NewPart(kind="encode", queue="gpu", total=3, unit="texts", stage=1),
    NewPart(kind="train", queue="gpu", stage=2),
]


def progress_of_parts(db: Database, job_id: str) -> Progress:
    """The progress of a job, computed from its parts alone."""
    with db.read() as tx:
        parts = tx.scalars(select(Part).where(Part.job_id == job_id).order_by(Part.stage, Part.position)).all()
    stages = [[part for part in parts if part.kind == kind] for kind in dict.fromkeys(part.kind for part in parts)]
    started = [stage for stage in stages if any(part.started_at for part in stage)] or stages[:1]
    current = next((stage for stage in stages if any(part.finished_at is None for part in stage)), started[-1])
    return Progress(**vars(stage_of_parts(current)), stages=[stage_of_parts(stage) for stage in stages])


def stage_of_parts(parts: Sequence[Part]) -> Stage:
    done, total = sum(part.done for part in parts), sum(part.total for part in parts)
    rate = sum(part.rate for part in parts if part.status == "running" and part.rate is not None) or None
    return Stage(
        stage=parts[0].kind,
        name=progress.STAGE_NAMES[parts[0].kind],
        done=done,
        total=total,
        unit=max(part.unit for part in parts),
        rate=rate,
        eta_s=max(0.0, (total - done) / rate) if rate else None,
    )


def random_transition(db: Database, rng: random.Random, job_id: str, held: list[Claim]) -> None:
    """Apply one random transition to a part of the job."""
    with db.write() as tx:
        action = rng.choice(ACTIONS)
        if action == "claim":
            if ready := claims.ready(tx, ["enrich", "gpu"], limit=1):
                claim = claims.claim(tx, ready[0], worker="w", lease_s=30)
                assert claim is not None
                held.append(claim)
        elif held and action == "progress":
            claim, rate = rng.choice(held), rng.choice([0.5, 2.0, None])
            done, total = sorted(rng.choices(range(9), k=2))
            claims.record_progress(tx, claim, done=done, total=total, unit=UNITS[claim.kind], rate=rate)
        elif held:
            claim = held.pop(rng.randrange(len(held)))
            if action == "finish":
                transitions.finish(tx, claim, PartResult())
            elif action == "fail":
                transitions.fail(tx, claim, code="x", message="m")
            elif action == "retry":
                transitions.fail(tx, claim, code="x", message="m", retry_in_s=0.0, max_attempts=2)
            elif action == "defer":
                transitions.defer(tx, claim, in_s=0.0)
            elif action == "lose":
                transitions.lose(tx, claim.part_id, claim.token, code="worker_lost", message="lost", max_attempts=3)
            else:
                jobs.add_parts(tx, claim, [NewPart(kind=claim.kind, queue="gpu", total=2, stage=claim.stage)])
                transitions.finish(tx, claim, PartResult())


@pytest.mark.parametrize("seed", range(4))
def test_stored_progress_equals_the_sum_over_parts(db: Database, seed: int) -> None:
    rng = random.Random(seed)
    kind: JobKind = "encode" if seed else "enrich"
    with db.write() as tx:
        vocabulary = vocabularies.create(tx, name="birds", domain="birds", labels=[NewLabel("crane")])
        spec = job_spec(kind) if kind == "encode" else describe_spec(vocabulary_id=vocabulary.id)
        job_id = jobs.create(tx, spec, PARTS).id
    held: list[Claim] = []
    for _ in range(60):
        try:
            random_transition(db, rng, job_id, held)
        except LeaseLost:  # the job has stopped and ended its parts
            held.clear()
        with db.read() as tx:
            job, found = progress.of_job(tx, job_id)
            assert progress.of_jobs(tx, [job_id, "job_none"]) == {job_id: found}
        assert found == progress_of_parts(db, job_id)
        if job.status in jobs.ENDED:
            break
    with db.write() as tx:
        transitions.cancel(tx, job_id)
    with db.read() as tx:
        assert progress.of_job(tx, job_id)[1] == progress_of_parts(db, job_id)


def test_a_poll_reads_only_running_parts(db: Database) -> None:
    with db.write() as tx:
        job_id = jobs.create(tx, job_spec("encode"), [NewPart(kind="encode", queue="gpu") for _ in range(500)]).id
    statement = progress._JOB.compile(db.reader)
    params = statement.construct_params({"job_id": job_id})
    explain = "explain query plan" if db.is_sqlite else "explain"
    with db.read() as tx:
        names = statement.positiontup
        plan = tx.connection().exec_driver_sql(
            f"{explain} {statement}", tuple(params[name] for name in names) if names else params
        )
        scans = [line for line in map(str, plan) if re.search(r"\bparts\b(?!\.)", line)]
    assert scans
    assert all("ix_parts_running" in line for line in scans)


def test_a_part_has_a_stage_for_each_of_its_phases(db: Database) -> None:
    parts = [NewPart(kind="train", queue="gpu"), NewPart(kind="evaluate", queue="gpu", stage=1)]
    with db.write() as tx:
        job_id = jobs.create(tx, job_spec("distill"), parts).id

    def figures() -> list[tuple[str, str, int, int, str]]:
        with db.read() as tx:
            found = progress.of_job(tx, job_id)[1]
            assert progress.of_jobs(tx, [job_id]) == {job_id: found}
        assert found is not None
        current.append(found.name)
        return [(one.stage, one.name, one.done, one.total, one.unit) for one in found.stages]

    def begin(claim: Claim, phase: str) -> None:
        with db.write() as tx:
            claims.begin(tx, claim, phase)

    def record(claim: Claim, done: int, total: int, unit: str) -> None:
        with db.write() as tx:
            claims.record_progress(tx, claim, done=done, total=total, unit=unit, rate=2.0)

    current: list[str] = []
    last = ("evaluate", "evaluation", 0, 0, "")
    first = claim_next(db)
    assert figures() == [("train", "training", 0, 0, ""), last]
    begin(first, "teacher features")
    record(first, 60, 60, "images")
    assert figures() == [("train", "teacher features", 60, 60, "images"), last]
    begin(first, "training")
    assert figures() == [("train", "teacher features", 60, 60, "images"), ("train", "training", 0, 0, ""), last]
    record(first, 5, 9, "steps")
    with db.write() as tx:
        transitions.defer(tx, first, in_s=0.0)
    again = claim_next(db)
    begin(again, "teacher features")
    assert figures() == [("train", "teacher features", 0, 0, ""), last]
    record(again, 60, 60, "images")
    begin(again, "training")
    record(again, 5, 9, "steps")
    with db.write() as tx:
        transitions.finish(tx, again, PartResult())
    assert figures() == [("train", "teacher features", 60, 60, "images"), ("train", "training", 9, 9, "steps"), last]
    assert current == ["training", "teacher features", "training", "teacher features", "evaluation"]


def claim_next(db: Database) -> Claim:
    with db.write() as tx:
        claim = claims.claim(tx, claims.ready(tx, ["gpu"], limit=1)[0], worker="w", lease_s=30)
    assert claim is not None
    return claim
