"""Caption sets: captions of the training images of a dataset by a vision-language model, in a JSON Lines file."""

import time
from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from store.access.principals import owner_of_job
from store.artefacts import StoredArtefact
from store.errors import NotFound
from store.ids import new_id
from store.models import CaptionSet, EnrichResult, LLMAnswer


def captions(tx: Session, job_id: str, *, start: int, stop: int) -> list[tuple[int, str, str]]:
    """(position, sha256 of the image file, caption) of the captioned images at start ≤ position < stop."""
    query = (
        select(EnrichResult.position, EnrichResult.detail, LLMAnswer.lines)
        .join(LLMAnswer, LLMAnswer.key == EnrichResult.key)
        .where(EnrichResult.job_id == job_id, EnrichResult.position >= start, EnrichResult.position < stop)
        .order_by(EnrichResult.position, EnrichResult.slot)
    )
    return [(position, sha256 or "", line["text"]) for position, sha256, lines in tx.execute(query) for line in lines]


def add(
    tx: Session,
    *,
    dataset_id: str,
    job_id: str,
    source: Mapping[str, object],
    num_images: int,
    num_captioned: int,
    file: StoredArtefact,
) -> CaptionSet:
    """Register a set whose captions are stored in `file`."""
    row = CaptionSet(
        id=new_id("cap"),
        owner=owner_of_job(tx, job_id),
        dataset_id=dataset_id,
        job_id=job_id,
        source=dict(source),
        num_images=num_images,
        num_captioned=num_captioned,
        file_key=file.key,
        digest=file.sha256,
        size=file.size,
        created_at=time.time(),
    )
    tx.add(row)
    tx.flush()
    return row


def get(tx: Session, id: str) -> CaptionSet:
    """The caption set. Raises `NotFound`."""
    row = tx.get(CaptionSet, id)
    if row is None:
        raise NotFound("caption set", id)
    return row
