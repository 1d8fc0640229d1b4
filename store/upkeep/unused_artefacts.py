"""Artefacts that no row refers to, and which no running part may use: found, and deleted.

A file is used if a row of a resource names it, if a part that has not ended may read it (its spec, its result, its
training state), or if it lies in the folder of a running attempt. The files are listed before the rows are read: a file
that becomes used in between is in the folder of an attempt that ran then, or younger than the grace period.

A distill job that has published its bundle needs the files of its training no longer. Without a bundle they stay,
because they are the only copy of the student.
"""

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from limbeck.shared.text import counted
from store.artefacts import Artefacts, ListedArtefact
from store.db import Database
from store.errors import DatabaseUnusable
from store.jobs.feature_chunks import PREFIX as FEATURES
from store.jobs.jobs import ENDED
from store.jobs.part_results import TrainPartResult
from store.models import (
    AttributeSet,
    Blob,
    CaptionSet,
    Checkpoint,
    CheckpointFile,
    Dataset,
    EpochFile,
    FeatureChunk,
    Job,
    Part,
    RepairRound,
    SetReport,
    Teacher,
    TextTargets,
)
from store.upkeep import turns

GRACE_S = 3600.0
"""How old a file must be. A registration stores its files before the transaction that refers to them."""

PARTS, DATASETS, IMPORTS = "parts", "datasets", "imports"
FILE_COLUMNS = (
    Blob.file_key,
    CaptionSet.file_key,
    Checkpoint.samples_key,
    CheckpointFile.file_key,
    Dataset.contents_key,
    Dataset.manifest_key,
    Dataset.report_key,
    EpochFile.file_key,
    FeatureChunk.file_key,
    RepairRound.file_key,
    SetReport.file_key,
    Teacher.tokenizer_key,
    TextTargets.file_key,
)
"""The columns of resources that name an artefact."""
_IDS_PER_QUERY = 500
_PUBLISHED = Checkpoint.job_id == Part.job_id


@dataclass(frozen=True)
class UnusedArtefact:
    """A file that nothing refers to, and the kind that a report counts it as."""

    kind: str
    file: ListedArtefact


def find_unused(
    db: Database, artefacts: Artefacts, *, grace_s: float = GRACE_S, forgotten: Collection[str] = ()
) -> list[UnusedArtefact]:
    """The unused files that are older than `grace_s`, by key. `forgotten`: keys whose rows are about to be deleted.

    Raises DatabaseUnusable if the database knows none of the parts and datasets that have files: it is another one.
    """
    before = time.time() - grace_s
    listed = [file for prefix in (PARTS, FEATURES, DATASETS, IMPORTS) for file in artefacts.list_below(prefix)]
    with db.read() as tx:
        running = _running_attempts(tx)  # before the references: see the module
        used = set(_used_keys(tx)).difference(forgotten)
        if not any(file.key in used or file.key in forgotten for file in listed):
            _require_known_owner(tx, {_owner(file.key) for file in listed if not file.key.startswith(f"{IMPORTS}/")})
        published = _published_parts(tx)
    return [
        UnusedArtefact(_kind_of(file.key, published), file)
        for file in sorted(listed, key=lambda file: file.key)
        if file.modified_at < before and file.key not in used and _attempt(file.key) not in running
    ]


def delete_unused(db: Database, artefacts: Artefacts, unused: Iterable[UnusedArtefact]) -> list[UnusedArtefact]:
    """Delete the files that are unchanged since they were found. Returns those that were deleted."""
    deleted = [one for one in unused if artefacts.delete_if_unchanged(one.file)]
    with db.write() as tx:
        _forget_states(tx, [one.file.key for one in deleted])
    for folder in sorted({_attempt(one.file.key) for one in deleted if not one.file.key.startswith(f"{IMPORTS}/")}):
        artefacts.delete_empty_folders(folder)  # an import may be storing its file again
    return deleted


def delete_unreferenced(db: Database, artefacts: Artefacts, keys: Iterable[str]) -> None:
    """Delete the files with these keys that no resource names. What cannot be deleted now is left to `delete_unused`:
    files of a store that does not respond, and all files while a backup copies them."""
    wanted = sorted(set(keys))
    with db.read() as tx:
        if turns.is_taken(tx, turns.FILES):
            return
        used = {key for column in FILE_COLUMNS for key in _among(tx, column, wanted)}
    for key in wanted:
        if key not in used:
            try:
                artefacts.delete_below(key)
                artefacts.delete_empty_folders(_attempt(key))
            except OSError:
                return


def _among(tx: Session, column: InstrumentedAttribute[Any], keys: Sequence[str]) -> Iterator[str]:
    for start in range(0, len(keys), _IDS_PER_QUERY):
        yield from tx.scalars(select(column).where(column.in_(keys[start : start + _IDS_PER_QUERY])))


def _owner(key: str) -> str:
    """The id of the part or dataset that a file belongs to."""
    return key.split("/")[1]


def _attempt(key: str) -> str:
    """The folder of the attempt that wrote a file: `parts/PART/TOKEN`, `features/PART/TOKEN`."""
    return (
        "/".join(key.split("/")[:3]) if key.startswith((f"{PARTS}/", f"{FEATURES}/")) else "/".join(key.split("/")[:2])
    )


def _kind_of(key: str, published: set[str]) -> str:
    if key.startswith(f"{DATASETS}/"):
        return "datasets that were never registered"
    if key.startswith(f"{IMPORTS}/"):
        return "imports that were never stored"
    if key.startswith(f"{FEATURES}/"):
        return "teacher features that no job uses"
    if "/state/" in key:
        return "training states of ended parts"
    if _owner(key) in published:
        return "training outputs of published students"
    return "files of dead attempts, duplicates"


def _require_known_owner(tx: Session, owners: set[str]) -> None:
    ordered = sorted(owners)
    for start in range(0, len(ordered), _IDS_PER_QUERY):
        ids = ordered[start : start + _IDS_PER_QUERY]
        if any(tx.scalar(select(table.id).where(table.id.in_(ids)).limit(1)) for table in (Part, Dataset)):
            return
    if ordered:
        raise DatabaseUnusable(
            f"the artefact store has files of {counted(len(ordered), 'part or dataset', 'parts and datasets')}, of "
            "which this database knows none: "
            "set LIMBECK_DATABASE_URL and LIMBECK_ARTEFACTS_URL to those of one service"
        )


def _running_attempts(tx: Session) -> set[str]:
    query = select(Part.id, Part.lease_token).where(Part.status == "running")
    return {f"{prefix}/{part_id}/{token}" for part_id, token in tx.execute(query) for prefix in (PARTS, FEATURES)}


def _used_keys(tx: Session) -> Iterator[str]:
    for column in FILE_COLUMNS:
        yield from (key for key in tx.scalars(select(column)) if key is not None)
    for source in tx.scalars(select(AttributeSet.source)):
        yield from _keys_in(source)
    # A part that failed or was cancelled can be retried as long as its row points at its training state.
    resumable = Part.status.in_(("failed", "cancelled")) & Part.state_key.is_not(None)
    yield from (key for key in tx.scalars(select(Part.state_key).where(resumable)) if key is not None)
    unended = select(Part.spec, Part.result, Part.state_key).join(Job, Job.id == Part.job_id)
    for row in tx.execute(unended.where(Job.status.not_in(ENDED))):
        yield from _keys_in(list(row))
    for result in tx.scalars(_train_results().where(Job.status.in_(ENDED), Checkpoint.id.is_(None))):
        yield from _keys_in(result)


def _train_results() -> "Select[dict[str, object] | None]":
    query = select(Part.result).join(Job, Job.id == Part.job_id).join(Checkpoint, isouter=True, onclause=_PUBLISHED)
    return query.where(Part.kind == TrainPartResult.part_kind)


def _published_parts(tx: Session) -> set[str]:
    query = select(Part.id).join(Checkpoint, _PUBLISHED).where(Part.kind == TrainPartResult.part_kind)
    return set(tx.scalars(query))


def _keys_in(value: object) -> Iterator[str]:
    """Every text of a stored JSON value that can be the key of an artefact."""
    if isinstance(value, str):
        if value.partition("/")[0] in (PARTS, FEATURES, DATASETS, IMPORTS):
            yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _keys_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from _keys_in(item)


def _forget_states(tx: Session, keys: list[str]) -> None:
    """Clear the pointers of ended parts to training states that are deleted."""
    states = [key for key in keys if "/state/" in key]
    for start in range(0, len(states), _IDS_PER_QUERY):
        some = states[start : start + _IDS_PER_QUERY]
        ended = update(Part).where(Part.status.in_(ENDED), Part.state_key.in_(some))
        tx.execute(ended.values(state_key=None), execution_options={"synchronize_session": False})
