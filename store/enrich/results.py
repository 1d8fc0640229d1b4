"""What enrich jobs write as they go: answers, the ledger of calls, one result per question.

A question is a (step, position, slot) of its job: which strategy, which label (or image), which of several about it.
What is asked again for its faults, in round r, has results at step r * `assembly.ROUND` + step, until they are chosen.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, delete, literal, select, true, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from store.bulk_rows import values_table
from store.enrich.assembly import ROUND
from store.errors import NotFound
from store.ids import new_id
from store.jobs.claims import Claim
from store.models import EnrichResult, LLMAnswer, LLMCall, LLMResponseFormat
from store.sets.attribute_sets import insert_ignore

_BATCH = 5_000


@dataclass(frozen=True, slots=True)
class Place:
    """Where an answer goes. `side` 1: the label is the one that the answer tells its own label apart from.

    `detail`, of an image: the sha256 of its file, as it was read for the question.
    """

    step: int
    position: int
    slot: int = 0
    side: int = 0
    detail: str | None = None


def ended(tx: Session, claim: Claim, *, start: int, stop: int) -> set[tuple[int, int, int]]:
    """(step, position, slot) of the questions about start ≤ position < stop that have a result in the claim's job."""
    query = select(EnrichResult.step, EnrichResult.position, EnrichResult.slot).where(
        EnrichResult.job_id == claim.job_id, EnrichResult.position >= start, EnrichResult.position < stop
    )
    return {(step, position, slot) for step, position, slot in tx.execute(query)}


def settle_known(tx: Session, claim: Claim, places: Sequence[tuple[Place, str]]) -> set[str]:
    """Give each place whose key an earlier call answered its result; the keys that were found."""
    wanted = values_table(
        tx,
        {
            "step": (int, [place.step for place, _ in places]),
            "position": (int, [place.position for place, _ in places]),
            "slot": (int, [place.slot for place, _ in places]),
            "side": (int, [place.side for place, _ in places]),
            "detail": (str, [place.detail for place, _ in places]),
            "key": (str, [key for _, key in places]),
        },
    )
    columns = [wanted.c[name] for name in ("step", "position", "slot", "side", "detail", "key")]
    rows = select(literal(claim.job_id), *columns).join(LLMAnswer, LLMAnswer.key == wanted.c.key).where(true())
    dialect = sqlite if tx.get_bind().dialect.name == "sqlite" else postgresql
    statement = dialect.insert(EnrichResult).from_select(["job_id", *(column.name for column in columns)], rows)
    return set(tx.scalars(statement.on_conflict_do_nothing().returning(EnrichResult.key)))


def has_answers(tx: Session, *, model: str, strategy: str) -> bool:
    """Whether a model has answered anything that a strategy asks."""
    return (
        tx.scalar(select(LLMAnswer.key).where(LLMAnswer.model == model, LLMAnswer.strategy == strategy).limit(1))
        is not None
    )


def known_answers(tx: Session, keys: Sequence[str]) -> set[str]:
    """Those of the keys under which an earlier call left an answer."""
    wanted = values_table(tx, {"key": (str, keys)})
    return set(tx.scalars(select(LLMAnswer.key).join(wanted, wanted.c.key == LLMAnswer.key)))


def answer(tx: Session, key: str) -> LLMAnswer:
    """The answer under a key, or `NotFound`."""
    found = tx.get(LLMAnswer, key)
    if found is None:
        raise NotFound("answer", key)
    return found


def record_calls(tx: Session, claim: Claim, calls: Sequence[Mapping[str, Any]]) -> None:
    """Append to the ledger; also under a lease that was lost, for the calls were made and will be billed."""
    now = time.time()
    insert_ignore(
        tx, LLMCall, [{"id": new_id("cal"), "job_id": claim.job_id, "created_at": now, **call} for call in calls]
    )


def record_answers(tx: Session, answers: Sequence[Mapping[str, Any]]) -> None:
    """Keep valid answers (fields of `LLMAnswer`) for this job and any other; the first one under a key stays."""
    now = time.time()
    insert_ignore(tx, LLMAnswer, sorted(({**one, "created_at": now} for one in answers), key=lambda row: row["key"]))


def record_results(tx: Session, claim: Claim, results: Sequence[tuple[Place, str]]) -> None:
    """Keep which answers, by their keys, the questions came to."""
    insert_ignore(tx, EnrichResult, [{**_of_place(claim, place), "key": key} for place, key in results])


def record_failures(tx: Session, claim: Claim, failures: Sequence[tuple[Place, str, str]]) -> None:
    """Keep the reason and detail of each question that ended without an answer."""
    rows = [
        {**_of_place(claim, place), "key": None, "reason": reason, "detail": detail}
        for place, reason, detail in failures
    ]
    insert_ignore(tx, EnrichResult, rows)


def adopt(tx: Session, claim: Claim, *, round: int, positions: Collection[int]) -> None:
    """Let a round's answers about these positions stand in place of those before, and forget its other results."""
    first, stop = round * ROUND, (round + 1) * ROUND
    of_round = (EnrichResult.job_id == claim.job_id, EnrichResult.step >= first, EnrichResult.step < stop)
    wanted = sorted(positions)
    for start in range(0, len(wanted), _BATCH):
        some = values_table(tx, {"position": (int, wanted[start : start + _BATCH])})
        query = select(EnrichResult.step, EnrichResult.position, EnrichResult.slot, EnrichResult.key)
        query = query.join(some, some.c.position == EnrichResult.position).where(
            *of_round, EnrichResult.key.is_not(None)
        )
        rows = [
            {"b_job_id": claim.job_id, "b_step": step % ROUND, "b_position": position, "b_slot": slot, "b_key": key}
            for step, position, slot, key in tx.execute(query)
        ]
        if rows:
            place = ("job_id", "step", "position", "slot")
            there = [getattr(EnrichResult, name) == bindparam(f"b_{name}") for name in place]
            tx.connection().execute(update(EnrichResult).where(*there).values(key=bindparam("b_key")), rows)
    tx.execute(delete(EnrichResult).where(*of_round))


def _of_place(claim: Claim, place: Place) -> dict[str, Any]:
    return {
        "job_id": claim.job_id,
        "step": place.step,
        "position": place.position,
        "slot": place.slot,
        "side": place.side,
        "detail": place.detail,
    }


def partial(tx: Session, job_id: str, *, after: int, limit: int) -> list[int]:
    """The first `limit` positions above `after` that have a result, of whatever step."""
    query = select(EnrichResult.position).where(EnrichResult.job_id == job_id, EnrichResult.position > after)
    return list(tx.scalars(query.distinct().order_by(EnrichResult.position).limit(limit)))


def form(tx: Session, *, base_url: str, model: str) -> Mapping[str, Any] | None:
    """What is remembered of the form of request that a server understands for a model."""
    return tx.scalar(
        select(LLMResponseFormat.form).where(LLMResponseFormat.base_url == base_url, LLMResponseFormat.model == model)
    )


def keep_form(tx: Session, *, base_url: str, model: str, form: Mapping[str, Any]) -> None:
    """Remember it for all workers; the last one to learn something is right."""
    dialect = sqlite if tx.get_bind().dialect.name == "sqlite" else postgresql
    row = {"base_url": base_url, "model": model, "form": dict(form), "updated_at": time.time()}
    statement = dialect.insert(LLMResponseFormat).values(row)
    again = {"form": statement.excluded.form, "updated_at": statement.excluded.updated_at}
    tx.execute(statement.on_conflict_do_update(index_elements=["base_url", "model"], set_=again))
