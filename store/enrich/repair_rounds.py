"""What rounds of mending came to, kept under all that they went by: the same again needs no judging."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from store import vocabularies
from store.models import EnrichResult, Job, MendRound
from store.sets.attribute_sets import insert_ignore

_LABELS = 1_024  # looked at at a time


def inputs_of(tx: Session, job: Job, others: Mapping[str, Any]) -> str:
    """sha256 over what the job has said so far of every label (an answer never changes under its key, nor do the lines
    that a base set keeps), and over `others`: how it is judged."""
    spec = job.spec
    about = {
        "vocabulary": vocabularies.get(tx, spec["vocabulary_id"]).digest,
        "base_set_id": spec.get("base_set_id"),
        "others": dict(others),
    }
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    place = EnrichResult.position, EnrichResult.step, EnrichResult.slot
    query = select(*place, EnrichResult.side, EnrichResult.key).where(EnrichResult.job_id == job.id).order_by(*place)
    for start in range(0, spec["num_labels"], _LABELS):
        some = tx.execute(query.where(EnrichResult.position >= start, EnrichResult.position < start + _LABELS))
        said = "\n".join([f"{at} {step} {slot} {side} {key}" for at, step, slot, side, key in some])
        digest.update(said.encode() + b"\n")
    return digest.hexdigest()


def outcome(tx: Session, inputs: str) -> MendRound | None:
    """What a round with these inputs came to before."""
    return tx.get(MendRound, inputs)


def put(tx: Session, *, inputs: str, outcome: Mapping[str, Any], file_key: str | None) -> None:
    """Remember it; of two at the same time the first stays."""
    insert_ignore(tx, MendRound, [{"inputs": inputs, "outcome": dict(outcome), "file_key": file_key}])
