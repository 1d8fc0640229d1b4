"""Trainings on several machines: parts of one job that run at the same time and meet at a rendezvous.

Machine 0 has the `train` part, each other one a `train_node` part. A round begins when all of them are claimed: part 0
publishes where it waits, with the tokens of all parts, so that no part follows an address of an earlier round. The
round is over when one of the parts ends or is claimed again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import exists, literal_column, or_, select
from sqlalchemy.orm import Session, aliased

from store.jobs import claims
from store.jobs.claims import Claim
from store.models import Part

FURTHER = "train_node"
KINDS = ("train", FURTHER)


@dataclass(frozen=True, kw_only=True)
class Round:
    """A training of all machines. `tokens`: of the claims, by machine; `address`: host and port of machine 0.

    `state_key`: the training state that all resume from.
    """

    tokens: tuple[str, ...]
    address: str
    state_key: str | None


@dataclass(frozen=True, kw_only=True)
class Gathering:
    """The parts of a training. `num_claimed`: by workers now; `round`: if one has begun; `done`, `total`: of part 0.

    `must_yield`: a more urgent job waits for its machines, and this one has not begun.
    """

    tokens: tuple[str | None, ...]
    round: Round | None
    is_finished: bool
    must_yield: bool
    done: int
    total: int
    unit: str

    @property
    def num_claimed(self) -> int:
        """Number of parts that are claimed."""
        return sum(token is not None for token in self.tokens)

    @property
    def is_complete(self) -> bool:
        """Whether all parts are claimed."""
        return self.num_claimed == len(self.tokens)


def look(tx: Session, job_id: str, *, num_gpus: int = 0) -> Gathering:
    """What the parts of the job's training do now. `num_gpus`: of the worker that may have to yield."""
    query = select(Part).where(Part.job_id == job_id, Part.kind.in_(KINDS)).order_by(Part.position)
    parts = tx.scalars(query, execution_options={"populate_existing": True}).all()
    first = parts[0]
    tokens = tuple(part.lease_token if part.status == "running" else None for part in parts)
    return Gathering(
        tokens=tokens,
        round=_round(first, tokens),
        is_finished=first.status == "succeeded",
        must_yield=None in tokens and _is_more_urgent_waiting(tx, first, num_gpus=num_gpus),
        done=first.done,
        total=first.total,
        unit=first.unit,
    )


def _round(first: Part, tokens: Sequence[str | None]) -> Round | None:
    published: Any = first.rendezvous
    if published is None or published["tokens"] != list(tokens):
        return None
    return Round(tokens=tuple(published["tokens"]), address=published["address"], state_key=published["state_key"])


def _is_more_urgent_waiting(tx: Session, first: Part, *, num_gpus: int) -> bool:
    """Whether a job that precedes that of the part has some machines, and waits for another one that has `num_gpus`.

    Jobs are ordered as in `store.jobs.claims.ready`.
    """
    running = aliased(Part)
    has_machines = exists().where(
        running.job_id == Part.job_id, running.kind.in_(KINDS), running.status == literal_column("'running'")
    )
    is_older = (Part.priority == first.priority) & (Part.job_id < first.job_id)
    is_more_urgent = or_(Part.priority > first.priority, is_older)
    waits = select(Part.id).where(Part.status == literal_column("'queued'"), Part.queue == first.queue)
    waits = waits.where(Part.kind.in_(KINDS), Part.job_id != first.job_id, is_more_urgent, has_machines)
    return tx.scalar(waits.where(claims.fits(num_gpus)).limit(1)) is not None


def publish(tx: Session, claim: Claim, tokens: Sequence[str | None], address: str) -> None:
    """Begin a round of the claims with these tokens, in which all meet part 0 at `address`. Raises LeaseLost."""
    round = {"tokens": list(tokens), "address": address, "state_key": claim.state_key}
    claims.must_change(tx, claims.held(claim).values(rendezvous=round))


def saved_units(tx: Session, job_id: str) -> int:
    """Steps in the training state that machine 0 has saved."""
    return tx.scalar(select(Part.saved_units).where(Part.job_id == job_id, Part.kind == KINDS[0])) or 0
