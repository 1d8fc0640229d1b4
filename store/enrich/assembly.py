"""From the results of an enrich job to the pages of its set.

A label's lines are those that a person wrote or locked in the set that the job started from, then those of the job's
answers in the order of its strategies; a line that says the same as an earlier one is left out.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from store import vocabularies
from store.models import EnrichPage, EnrichResult, Job, Label, LLMAnswer
from store.sets import attribute_sets
from store.sets.attribute_sets import PAGE_SIZE, EntryContent, insert_ignore

_WAY = 1  # of putting pages together; another way wants another number
ROUND = 1_000  # steps between the results of two rounds of asking again
_SAYS = ("kind", "text", "part", "value", "about", "other_value")


@dataclass
class Said:
    """What a job has of one label so far: lines, flags, and why questions about it failed (reason, detail)."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)


def said_of(
    tx: Session, job: Job, labels: Sequence[Label], *, trial: int = 0, only: Collection[int] | None = None
) -> list[Said]:
    """What the job has so far of each of `labels`, which are of its vocabulary; `trial` and `only` as for
    `standing`."""
    positions = [label.position for label in labels]
    by_position: dict[int, Said] = defaultdict(Said)
    for label, kept in zip(labels, _kept(tx, job, labels), strict=True):
        by_position[label.position].lines += kept
    for row in standing(tx, job.id, positions, trial=trial, only=only):
        said = by_position[row.position]
        if row.key is None:
            said.failures.append((row.reason, row.detail))
        elif row.side:
            said.lines += row.other_lines or []
        else:
            said.lines += row.lines
            said.flags += [flag for flag in row.flags if flag not in said.flags]
    for said in by_position.values():
        said.lines = _without_repeats(said.lines)
    return [by_position[position] for position in positions]


def standing(
    tx: Session, job_id: str, positions: Sequence[int], *, trial: int = 0, only: Collection[int] | None = None
) -> list[Any]:
    """The results about these positions, each with the lines of its answer, in the order of position, step and slot.

    Answers of the round `trial` (0: of none) stand in for those before them, at the positions in `only`, or at all.
    """
    wanted = EnrichResult.step < ROUND
    if trial:
        wanted |= (EnrichResult.step >= trial * ROUND) & (EnrichResult.step < (trial + 1) * ROUND)
    query = (
        select(
            EnrichResult.position,
            EnrichResult.step,
            EnrichResult.slot,
            EnrichResult.side,
            EnrichResult.key,
            EnrichResult.reason,
            EnrichResult.detail,
            LLMAnswer.lines,
            LLMAnswer.other_lines,
            LLMAnswer.flags,
        )
        .join(LLMAnswer, LLMAnswer.key == EnrichResult.key, isouter=True)
        .where(EnrichResult.job_id == job_id, EnrichResult.position.in_(positions), wanted)
        .order_by(EnrichResult.position, EnrichResult.step, EnrichResult.slot)
    )
    rows: dict[tuple[int, int, int], Any] = {}
    for row in tx.execute(query):
        chosen = row.key is not None and (only is None or row.position in only)
        if row.step < ROUND or chosen:
            rows[row.position, row.step % ROUND, row.slot] = row
    return list(rows.values())


def _without_repeats(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    first: dict[tuple[Any, ...], dict[str, Any]] = {}
    for line in lines:
        first.setdefault(tuple([line.get(name, "") for name in _SAYS]), line)
    return list(first.values())


def _kept(tx: Session, job: Job, labels: Sequence[Label]) -> Iterable[list[dict[str, Any]]]:
    """The lines of the job's base set that each label keeps; labels are found there by name and sense."""
    base_id = job.spec.get("base_set_id")
    if base_id is None:
        return [[] for _ in labels]
    base = attribute_sets.get(tx, base_id)
    places = vocabularies.places(tx, base.vocabulary_id, [label.folded for label in labels])
    found = attribute_sets.entries_at(tx, base_id, sorted(places.values()))
    return [
        [line for line in found[at].lines if line.get("locked") or line["origin"] == "human"]
        if (at := places.get(label.folded)) is not None and at in found
        else []
        for label in labels
    ]


def put_page(tx: Session, job: Job, page: int) -> str:
    """Put one page of the job's set together and keep it; its digest."""
    return _put(tx, job, _labels_on(tx, job, page))


def note_page(tx: Session, job: Job, page: int) -> None:
    """Put a page together and remember it, for the sealing of the set.

    A page that an earlier job made of the same answers is taken as it is: none of them is read.
    """
    labels = _labels_on(tx, job, page)
    inputs = _inputs_of(tx, job, labels)
    made = tx.scalar(select(EnrichPage.digest).where(EnrichPage.inputs == inputs).limit(1))
    row = {"job_id": job.id, "page": page, "digest": made or _put(tx, job, labels), "inputs": inputs}
    insert_ignore(tx, EnrichPage, [row])


def _labels_on(tx: Session, job: Job, page: int) -> list[Label]:
    start = page * PAGE_SIZE
    return vocabularies.labels(tx, job.spec["vocabulary_id"], start=start, stop=start + PAGE_SIZE)


def _put(tx: Session, job: Job, labels: Sequence[Label]) -> str:
    contents = [
        EntryContent(label=label.name, sense=label.sense, lines=said.lines, flags=said.flags) if said.lines else None
        for label, said in zip(labels, said_of(tx, job, labels), strict=True)
    ]
    (digest,) = attribute_sets.put_pages(tx, contents)
    return digest


def _inputs_of(tx: Session, job: Job, labels: Sequence[Label]) -> str:
    """sha256 over what `said_of` would read: an answer never changes under its key."""
    query = select(EnrichResult.position, EnrichResult.side, EnrichResult.key).where(
        EnrichResult.job_id == job.id,
        EnrichResult.position >= labels[0].position,
        EnrichResult.position <= labels[-1].position,
        EnrichResult.key.is_not(None),
        EnrichResult.step < ROUND,
    )
    answers: dict[int, list[tuple[int, str | None]]] = defaultdict(list)
    for position, side, key in tx.execute(query.order_by(EnrichResult.position, EnrichResult.step, EnrichResult.slot)):
        answers[position].append((side, key))
    kept = _kept(tx, job, labels)
    inputs = [
        (label.name, label.sense, lines, answers[label.position]) for label, lines in zip(labels, kept, strict=True)
    ]
    return hashlib.sha256(json.dumps([_WAY, inputs], sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def noted_pages(tx: Session, job_id: str) -> Mapping[int, str]:
    """Page → digest of those put together so far."""
    rows = tx.execute(select(EnrichPage.page, EnrichPage.digest).where(EnrichPage.job_id == job_id))
    return {page: digest for page, digest in rows}
