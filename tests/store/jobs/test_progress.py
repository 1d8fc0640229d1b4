"""Progress that is kept with the job equals what its parts come to, whatever moves them."""

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
ACTS = ("claim", "claim", "progress", "progress", "finish", "fail", "retry", "defer", "lose", "add")
PARTS = [
    *(NewPart(kind="describe", queue="enrich", total=4 + n, unit="labels") for n in range(5)),
    NewPart(kind="encode", queue="gpu", total=3, unit="texts", stage=1),
    NewPart(kind="train", queue="gpu", stage=2),
]


def summed(db: Database, job_id: str) -> Progress:
    """The stage that a job is in, from its parts alone."""
    with db.read() as tx:
        parts = tx.scalars(select(Part).where(Part.job_id == job_id).order_by(Part.stage, Part.position)).all()
    stages = [[part for part in parts if part.kind == kind] for kind in dict.fromkeys(part.kind for part in parts)]
    begun = [stage for stage in stages if any(part.started_at for part in stage)] or stages[:1]
    present = next((stage for stage in stages if any(part.finished_at is None for part in stage)), begun[-1])
    return Progress(**vars(of_stage(present)), stages=[of_stage(stage) for stage in stages])


def of_stage(parts: Sequence[Part]) -> Stage:
    done, total = sum(part.done for part in parts), sum(part.total for part in parts)
    per_s = sum(part.rate for part in parts if part.status == "running" and part.rate is not None) or None
    return Stage(
        stage=parts[0].kind,
        done=done,
        total=total,
        unit=max(part.unit for part in parts),
        rate=per_s,
        eta_s=max(0.0, (total - done) / per_s) if per_s else None,
    )


def move(db: Database, chance: random.Random, job_id: str, held: list[Claim]) -> None:
    """Anything that may happen to a job's parts."""
    with db.write() as tx:
        act = chance.choice(ACTS)
        if act == "claim":
            if ready := claims.ready(tx, ["enrich", "gpu"], limit=1):
                claim = claims.claim(tx, ready[0], worker="w", lease_s=30)
                assert claim is not None
                held.append(claim)
        elif held and act == "progress":
            claim, rate = chance.choice(held), chance.choice([0.5, 2.0, None])
            done, total = sorted(chance.choices(range(9), k=2))
            claims.record_progress(tx, claim, done=done, total=total, unit=UNITS[claim.kind], rate=rate)
        elif held:
            claim = held.pop(chance.randrange(len(held)))
            if act == "finish":
                transitions.finish(tx, claim, PartResult())
            elif act == "fail":
                transitions.fail(tx, claim, code="x", message="m")
            elif act == "retry":
                transitions.fail(tx, claim, code="x", message="m", retry_in_s=0.0, max_attempts=2)
            elif act == "defer":
                transitions.defer(tx, claim, in_s=0.0)
            elif act == "lose":
                claims.expire(tx, worker="w")
                transitions.requeue_expired(tx, max_attempts=3)
                held.clear()
            else:
                jobs.add_parts(tx, claim, [NewPart(kind=claim.kind, queue="gpu", total=2, stage=claim.stage)])
                transitions.finish(tx, claim, PartResult())


@pytest.mark.parametrize("seed", range(4))
def test_what_is_kept_is_what_the_parts_come_to(db: Database, seed: int) -> None:
    chance = random.Random(seed)
    kind: JobKind = "encode" if seed else "enrich"
    with db.write() as tx:
        vocabulary = vocabularies.create(tx, name="birds", domain="birds", labels=[NewLabel("crane")])
        spec = job_spec(kind) if kind == "encode" else describe_spec(vocabulary_id=vocabulary.id)
        job_id = jobs.create(tx, spec, PARTS).id
    held: list[Claim] = []
    for _ in range(60):
        try:
            move(db, chance, job_id, held)
        except LeaseLost:  # a job that stops takes the parts along
            held.clear()
        with db.read() as tx:
            job, found = progress.job(tx, job_id)
            assert progress.of(tx, [job_id, "job_none"]) == {job_id: found}
        assert found == summed(db, job_id)
        if job.status in jobs.ENDED:
            break
    with db.write() as tx:
        transitions.cancel(tx, job_id)
    with db.read() as tx:
        assert progress.job(tx, job_id)[1] == summed(db, job_id)


def test_a_poll_reads_the_running_parts_alone(db: Database) -> None:
    with db.write() as tx:
        job_id = jobs.create(tx, job_spec("encode"), [NewPart(kind="encode", queue="gpu") for _ in range(500)]).id
    statement = progress._JOB.compile(db.reader)
    given = statement.construct_params({"job_id": job_id})
    explain = "explain query plan" if db.is_sqlite else "explain"
    with db.read() as tx:
        names = statement.positiontup
        plan = tx.connection().exec_driver_sql(
            f"{explain} {statement}", tuple(given[name] for name in names) if names else given
        )
        read = [line for line in map(str, plan) if re.search(r"\bparts\b(?!\.)", line)]
    assert read
    assert all("ix_parts_running" in line for line in read)
