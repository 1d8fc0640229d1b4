"""Outcomes of repair rounds, stored under a digest of everything that decides them: equal rounds are judged once."""

import hashlib
import json
from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from store import vocabularies
from store.jobs.specs import DescribeSpec
from store.models import EnrichResult, RepairRound
from store.unique_rows import insert_ignore

_LABELS_PER_QUERY = 1_024


def inputs_of(tx: Session, job_id: str, spec: DescribeSpec, criteria: Mapping[str, object]) -> str:
    """sha256 over everything that decides the outcome of a round: the job's results and how they are judged.

    The response under a key never changes, and neither do the lines that a base set keeps.
    """
    head = {
        "vocabulary": vocabularies.get(tx, spec.vocabulary_id).digest,
        "base_set_id": spec.base_set_id,
        "others": dict(criteria),
    }
    digest = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    place = EnrichResult.position, EnrichResult.step, EnrichResult.slot
    query = select(*place, EnrichResult.side, EnrichResult.key).where(EnrichResult.job_id == job_id).order_by(*place)
    for start in range(0, spec.num_labels, _LABELS_PER_QUERY):
        rows = tx.execute(
            query.where(EnrichResult.position >= start, EnrichResult.position < start + _LABELS_PER_QUERY)
        )
        lines = "\n".join([f"{at} {step} {slot} {side} {key}" for at, step, slot, side, key in rows])
        digest.update(lines.encode() + b"\n")
    return digest.hexdigest()


def outcome(tx: Session, inputs: str) -> RepairRound | None:
    """The stored outcome of a round with these inputs; None if there is none."""
    return tx.get(RepairRound, inputs)


def put(tx: Session, *, inputs: str, outcome: Mapping[str, object], file_key: str | None) -> None:
    """Store the outcome of a round. An existing outcome is kept."""
    insert_ignore(tx, RepairRound, [{"inputs": inputs, "outcome": dict(outcome), "file_key": file_key}])
