"""Assembly: from the results of an enrich job to the pages of its attribute set.

The lines of a label are the human and locked lines of the job's base set, then the lines of the job's responses in the
order of its strategies. A line with the same content as an earlier one is left out.
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
from store.jobs.specs import DescribeSpec
from store.json_types import LineJSON
from store.models import EnrichPage, EnrichResult, Label, LLMAnswer
from store.sets import attribute_sets
from store.sets.attribute_sets import PAGE_SIZE, EntryContent
from store.unique_rows import insert_ignore

_ALGORITHM = 1  # version of how pages are assembled; part of the key under which a page is reused
ROUND = 1_000  # steps between the results of two repair rounds


@dataclass
class AssembledLabel:
    """What a job has of one label so far: lines, flags, and (reason, detail) of each failed question."""

    lines: list[LineJSON] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)


def assemble_labels(
    tx: Session,
    job_id: str,
    spec: DescribeSpec,
    labels: Sequence[Label],
    *,
    trial: int = 0,
    only: Collection[int] | None = None,
) -> list[AssembledLabel]:
    """What the job has so far of each of `labels`, which are of its vocabulary.

    `trial` and `only` as for `current_results`.
    """
    positions = [label.position for label in labels]
    by_position: dict[int, AssembledLabel] = defaultdict(AssembledLabel)
    for label, kept in zip(labels, _kept_lines(tx, spec, labels), strict=True):
        by_position[label.position].lines += kept
    for row in current_results(tx, job_id, positions, trial=trial, only=only):
        label_so_far = by_position[row.position]
        if row.key is None:
            label_so_far.failures.append((row.reason, row.detail))
        elif row.side:
            label_so_far.lines += row.other_lines or []
        else:
            label_so_far.lines += row.lines
            label_so_far.flags += [flag for flag in row.flags if flag not in label_so_far.flags]
    for assembled in by_position.values():
        assembled.lines = _without_duplicates(assembled.lines)
    return [by_position[position] for position in positions]


def current_results(
    tx: Session, job_id: str, positions: Sequence[int], *, trial: int = 0, only: Collection[int] | None = None
) -> list[Any]:
    """The results at these positions with the lines of their responses, ordered by position, step and slot.

    Responses of repair round `trial` (0: of none) replace earlier ones, at the positions in `only` or at all positions.
    """
    condition = EnrichResult.step < ROUND
    if trial:
        condition |= (EnrichResult.step >= trial * ROUND) & (EnrichResult.step < (trial + 1) * ROUND)
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
        .where(EnrichResult.job_id == job_id, EnrichResult.position.in_(positions), condition)
        .order_by(EnrichResult.position, EnrichResult.step, EnrichResult.slot)
    )
    rows: dict[tuple[int, int, int], Any] = {}
    for row in tx.execute(query):
        replaces = row.key is not None and (only is None or row.position in only)
        if row.step < ROUND or replaces:
            rows[row.position, row.step % ROUND, row.slot] = row
    return list(rows.values())


def _without_duplicates(lines: Sequence[LineJSON]) -> list[LineJSON]:
    first: dict[tuple[str, ...], LineJSON] = {}
    for line in lines:
        first.setdefault(_content(line), line)
    return list(first.values())


def _content(line: LineJSON) -> tuple[str, ...]:
    """What identifies a line, as in `attributes.types.Line.id`."""
    part, value, about = line.get("part", ""), line.get("value", ""), line.get("about", "")
    return line["kind"], line["text"], part, value, about, line.get("other_value", "")


def _kept_lines(tx: Session, spec: DescribeSpec, labels: Sequence[Label]) -> Iterable[list[LineJSON]]:
    """The human and locked lines of each label in the job's base set, found there by name and sense."""
    if spec.base_set_id is None:
        return [[] for _ in labels]
    base = attribute_sets.get(tx, spec.base_set_id)
    positions = vocabularies.positions_by_folded_label(tx, base.vocabulary_id, [label.folded for label in labels])
    entries = attribute_sets.entries_at(tx, base.id, sorted(positions.values()))
    return [
        [line for line in entries[at].lines if line.get("locked") or line["origin"] == "human"]
        if (at := positions.get(label.folded)) is not None and at in entries
        else []
        for label in labels
    ]


def assemble_page(tx: Session, job_id: str, spec: DescribeSpec, page: int) -> str:
    """Assemble one page of the job's set and store it. Returns its digest."""
    return _store(tx, job_id, spec, _labels_of_page(tx, spec, page))


def record_page(tx: Session, job_id: str, spec: DescribeSpec, page: int) -> None:
    """Assemble a page and record it for the job's set.

    A page that an earlier job assembled from the same responses is reused without reading them.
    """
    attribute_sets.share_contents(tx)
    labels = _labels_of_page(tx, spec, page)
    inputs = _page_inputs(tx, job_id, spec, labels)
    reused = tx.scalar(select(EnrichPage.digest).where(EnrichPage.inputs == inputs).limit(1))
    digest = reused or _store(tx, job_id, spec, labels)
    insert_ignore(tx, EnrichPage, [{"job_id": job_id, "page": page, "digest": digest, "inputs": inputs}])


def recorded_pages(tx: Session, job_id: str) -> Mapping[int, str]:
    """Page -> digest of the pages assembled so far."""
    rows = tx.execute(select(EnrichPage.page, EnrichPage.digest).where(EnrichPage.job_id == job_id))
    return {page: digest for page, digest in rows}


def _labels_of_page(tx: Session, spec: DescribeSpec, page: int) -> list[Label]:
    start = page * PAGE_SIZE
    return vocabularies.labels(tx, spec.vocabulary_id, start=start, stop=start + PAGE_SIZE)


def _store(tx: Session, job_id: str, spec: DescribeSpec, labels: Sequence[Label]) -> str:
    assembled = assemble_labels(tx, job_id, spec, labels)
    contents = [
        EntryContent(label=label.name, sense=label.sense, lines=one.lines, flags=one.flags) if one.lines else None
        for label, one in zip(labels, assembled, strict=True)
    ]
    (digest,) = attribute_sets.put_pages(tx, contents)
    return digest


def _page_inputs(tx: Session, job_id: str, spec: DescribeSpec, labels: Sequence[Label]) -> str:
    """sha256 over everything `assemble_labels` reads: the response under a key never changes."""
    query = select(EnrichResult.position, EnrichResult.side, EnrichResult.key).where(
        EnrichResult.job_id == job_id,
        EnrichResult.position >= labels[0].position,
        EnrichResult.position <= labels[-1].position,
        EnrichResult.key.is_not(None),
        EnrichResult.step < ROUND,
    )
    keys: dict[int, list[tuple[int, str | None]]] = defaultdict(list)
    for position, side, key in tx.execute(query.order_by(EnrichResult.position, EnrichResult.step, EnrichResult.slot)):
        keys[position].append((side, key))
    kept = _kept_lines(tx, spec, labels)
    inputs = [(label.name, label.sense, lines, keys[label.position]) for label, lines in zip(labels, kept, strict=True)]
    return hashlib.sha256(json.dumps([_ALGORITHM, inputs], sort_keys=True, ensure_ascii=False).encode()).hexdigest()
