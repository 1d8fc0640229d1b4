"""Teachers, text targets, datasets and checkpoints: rows that are written once and looked up by id.

`page` lists the rows of any table with an `id` column.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import insert, select
from sqlalchemy.orm import InstrumentedAttribute, Session, defer

from store import vocabularies
from store.access.principals import owner_of_job
from store.artefacts import StoredArtefact
from store.blobs.writing import StoredFiles, record_blobs
from store.errors import NotFound
from store.ids import new_id
from store.jobs.specs import DistillSpec
from store.models import Base, BlobPiece, CaptionSet, Checkpoint, CheckpointFile, Dataset, Teacher, TextTargets
from store.sets import attribute_sets
from store.unique_rows import insert_ignore, put_unique

RowT = TypeVar("RowT", bound=Base)


def page(
    tx: Session,
    model: type[RowT],
    *,
    limit: int,
    after: str | None,
    without: Sequence[InstrumentedAttribute[Any]] = (),
    **where: str | None,
) -> tuple[list[RowT], bool]:
    """Up to `limit` rows, newest first, that follow the row with id `after`; and whether more rows follow.

    `without`: large columns that are not read, and cannot be used.
    """
    columns = model.__table__.c
    query = select(model).order_by(columns.id.desc()).limit(limit + 1)
    query = query.options(*(defer(column, raiseload=True) for column in without))
    if after is not None:
        query = query.where(columns.id < after)
    for name, value in where.items():
        if value is not None:
            query = query.where(columns[name] == value)
    rows = list(tx.scalars(query))
    return rows[:limit], len(rows) > limit


def _get(tx: Session, model: type[RowT], kind: str, id: str) -> RowT:
    row = tx.get(model, id)
    if row is None:
        raise NotFound(kind, id)
    return row


def dataset(tx: Session, id: str) -> Dataset:
    """The dataset, or `NotFound`."""
    return _get(tx, Dataset, "dataset", id)


def text_targets(tx: Session, id: str) -> TextTargets:
    """The text targets, or `NotFound`."""
    return _get(tx, TextTargets, "text targets", id)


def teacher(tx: Session, id: str) -> Teacher:
    """The teacher, or `NotFound`."""
    return _get(tx, Teacher, "teacher", id)


def newest_teacher(tx: Session, ref: str) -> Teacher | None:
    """The newest row of this reference, or None if no worker has loaded the teacher."""
    return tx.scalar(select(Teacher).where(Teacher.ref == ref).order_by(Teacher.id.desc()).limit(1))


def checkpoint(tx: Session, id: str) -> Checkpoint:
    """The checkpoint, or `NotFound`."""
    return _get(tx, Checkpoint, "checkpoint", id)


def checkpoint_without_evaluation(tx: Session, id: str) -> Checkpoint:
    """The checkpoint, or `NotFound`. Its evaluation, which is large for many labels, is loaded when it is read."""
    row = tx.get(Checkpoint, id, options=[defer(Checkpoint.evaluation)])
    if row is None:
        raise NotFound("checkpoint", id)
    return row


def checkpoint_files(tx: Session, id: str) -> list[CheckpointFile]:
    """The files of the bundle of a checkpoint, sorted by path."""
    query = select(CheckpointFile).where(CheckpointFile.checkpoint_id == id).order_by(CheckpointFile.path)
    return list(tx.scalars(query))


def checkpoint_file(tx: Session, id: str, path: str) -> CheckpointFile:
    """One file of a bundle. Raises `NotFound` for a path that the bundle does not contain."""
    row = tx.get(CheckpointFile, (id, path))
    if row is None:
        raise NotFound("file", path)
    return row


def add_dataset(
    tx: Session,
    *,
    id: str,
    vocabulary_id: str,
    name: str,
    path: str,
    split: Mapping[str, object],
    counts: Mapping[str, int],
    digest: str,
    manifest_key: str,
    report_key: str | None = None,
    contents_key: str | None = None,
    warnings: Sequence[str] = (),
    inputs_digest: str | None = None,
    owner: str | None = None,
    upload_id: str | None = None,
    labels_per_image: float | None = None,
) -> Dataset:
    """Register a dataset whose index, report and contents of images are stored at the three keys.

    If one has the same `inputs_digest`, returns that one, which has another id.
    """
    row = Dataset(
        id=id,
        owner=owner,
        upload_id=upload_id,
        vocabulary_id=vocabulary_id,
        name=name,
        path=path,
        split=dict(split),
        counts=dict(counts),
        digest=digest,
        inputs_digest=inputs_digest,
        manifest_key=manifest_key,
        report_key=report_key,
        contents_key=contents_key,
        warnings=list(warnings),
        labels_per_image=labels_per_image,
        created_at=time.time(),
    )
    return put_unique(tx, row)


def put_teacher(
    tx: Session,
    *,
    ref: str,
    digest: str,
    width: int,
    context_length: int,
    logit_scale: float,
    preprocess: Mapping[str, object],
    tokenizer_key: str,
) -> Teacher:
    """The row of the teacher with this weight digest; created if it does not exist."""
    row = {
        "id": new_id("tch"),
        "ref": ref,
        "digest": digest,
        "width": width,
        "context_length": context_length,
        "logit_scale": logit_scale,
        "preprocess": dict(preprocess),
        "tokenizer_key": tokenizer_key,
        "created_at": time.time(),
    }
    insert_ignore(tx, Teacher, [row])
    return tx.scalars(select(Teacher).where(Teacher.digest == digest)).one()


def add_text_targets(
    tx: Session,
    *,
    vocabulary_id: str,
    attribute_set_id: str | None,
    teacher_id: str,
    job_id: str,
    text: str,
    num_labels: int,
    width: int,
    report: Mapping[str, object],
    file: StoredArtefact,
) -> TextTargets:
    """Register text targets whose features are stored in `file`."""
    row = TextTargets(
        id=new_id("txt"),
        owner=owner_of_job(tx, job_id),
        vocabulary_id=vocabulary_id,
        attribute_set_id=attribute_set_id,
        teacher_id=teacher_id,
        job_id=job_id,
        text=text,
        num_labels=num_labels,
        width=width,
        report=dict(report),
        file_key=file.key,
        digest=file.sha256,
        size=file.size,
        created_at=time.time(),
    )
    tx.add(row)
    tx.flush()
    return row


def add_checkpoint(tx: Session, checkpoint: Checkpoint, *, files: StoredFiles) -> Checkpoint:
    """Publish a bundle with its stored files; `checkpoint.digest` is that of its manifest.

    Its owner is that of the job. Raises BlobsGone.
    """
    record_blobs(tx, files)
    checkpoint.created_at = time.time()
    checkpoint.owner = owner_of_job(tx, checkpoint.job_id)
    tx.add(checkpoint)
    tx.flush()
    tx.add_all(
        CheckpointFile(checkpoint_id=checkpoint.id, path=file.path, sha256=file.sha256, size=file.size, file_key=None)
        for file in files.files
    )
    tx.flush()
    pieces = [
        {"checkpoint_id": checkpoint.id, "path": file.path, "position": position, **vars(piece)}
        for file in files.files
        for position, piece in enumerate(file.pieces)
    ]
    if pieces:
        tx.execute(insert(BlobPiece), pieces)
    return checkpoint


def source_digests(tx: Session, spec: DistillSpec, *, text_targets_id: str) -> dict[str, object]:
    """The ids and digests of all inputs of a distill job, for the manifest of its bundle."""
    vocabulary = vocabularies.get(tx, spec.vocabulary_id)
    images = dataset(tx, spec.dataset_id)
    targets = text_targets(tx, text_targets_id)
    made_from: dict[str, object] = {
        "vocabulary": {"id": vocabulary.id, "digest": vocabulary.digest},
        "dataset": {"id": images.id, "digest": images.digest, "split": images.split},
        "text_targets": {"id": targets.id, "digest": targets.digest, "text": targets.text},
    }
    if set_id := spec.attribute_set_id:
        made_from["attribute_set"] = {"id": set_id, "digest": attribute_sets.get(tx, set_id).digest}
    if set_id := spec.caption_set_id:
        made_from["caption_set"] = {"id": set_id, "digest": _get(tx, CaptionSet, "caption set", set_id).digest}
    return made_from
