"""The deletion of a resource: refused while something uses it; with `force`, what uses it is deleted too.

One transaction locks the rows, looks for users and deletes the rows of the resources. From then on they do not exist.
Large tables that belong to them are purged after it (`store.removal.purge`), and so are their files.

A job that has ended does not use its inputs: it is a record of what was done, and its spec keeps their ids. What a job
made does use the job: the job is the record of how it was made. A job that has not ended uses its inputs, and blocks
their deletion with `force` too, because a running part reads them.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from store.blobs.unused import blobs_of, delete_unused
from store.errors import InUse, NotFound, UserOfResource
from store.models import (
    AttributeDraft,
    AttributeDraftEntry,
    BlobPiece,
    CaptionSet,
    Checkpoint,
    CheckpointFile,
    Dataset,
    EpochCheckpoint,
    EpochFile,
    JobUsage,
    LLMReservation,
    Removal,
    SetReport,
    TextTargets,
)
from store.removal.holds import MODELS, ORDER, Kind, Resource, name_of
from store.removal.kinds import PURGED, USERS, live_users

MAX_NAMED = 20
"""How many users a refusal names."""
_BATCH = 500
_NO_SYNC = {"synchronize_session": False}


@dataclass(frozen=True, order=True)
class Deleted:
    """A resource that was deleted, or that uses another one."""

    kind: Kind
    id: str


@dataclass(frozen=True)
class DeletedResources:
    """What a transaction deleted: the resources, the named one first, and the keys of their files."""

    resources: tuple[Deleted, ...]
    file_keys: tuple[str, ...]

    @property
    def counts(self) -> Mapping[Kind, int]:
        """Kind → number of deleted resources."""
        return Counter(one.kind for one in self.resources)


CheckAllowed = Callable[[str, Resource], None]
"""Raises an error if the caller may not delete the resource, which is of this kind."""


def _anybody(_kind: str, _row: Resource) -> None:
    pass


def delete_resource(
    tx: Session, kind: Kind, id: str, *, force: bool = False, check_allowed: CheckAllowed = _anybody
) -> DeletedResources:
    """Delete the resource; with `force`, also everything that refers to it. `check_allowed` is called for each.

    Raises NotFound; InUse `job_running` if a job that has not ended needs one of them, and `in_use` if something refers
    to it and `force` is not set.
    """
    root = Deleted(kind, id)
    check_allowed(name_of(kind), _lock(tx, root))
    _refuse_if_running(tx, [root])
    if not force:
        _refuse_if_used(tx, root)
    doomed = {root}
    while True:
        # What refers to the rows is found before they are locked, because locks are taken in one order.
        found = _closure(tx, doomed)
        if found == doomed:
            break
        for one in sorted(found - doomed, key=_lock_order):
            check_allowed(name_of(one.kind), _lock(tx, one))
        doomed = found
    _refuse_if_running(tx, sorted(doomed, key=_lock_order))
    ordered = [root, *sorted(doomed - {root}, key=_lock_order)]
    keys = list(_file_keys(tx, ordered))
    blobs = blobs_of(tx, [one.id for one in ordered if one.kind == "checkpoint"])
    for kind_to_delete in reversed(ORDER):
        # A newer set refers to an older one: the newest first.
        ids = sorted((one.id for one in ordered if one.kind == kind_to_delete), reverse=True)
        _delete_rows(tx, kind_to_delete, ids)
    keys += delete_unused(tx, sorted(blobs))
    return DeletedResources(tuple(ordered), tuple(keys))


def _lock_order(one: Deleted) -> tuple[int, str]:
    return ORDER.index(one.kind), one.id


def _lock(tx: Session, one: Deleted) -> Resource:
    """Wait for transactions that hold the resource, and keep new ones from holding it. Raises NotFound."""
    row: Resource | None = tx.get(MODELS[one.kind], one.id, with_for_update=True, populate_existing=True)  # type: ignore[assignment]
    if row is None:
        raise NotFound(name_of(one.kind), one.id)
    return row


def _closure(tx: Session, start: Iterable[Deleted]) -> set[Deleted]:
    """`start` and everything that refers to one of them, directly or not."""
    found = set(start)
    level = set(start)
    while level:
        level = {user for one in level for user in _users(tx, one)} - found
        found |= level
    return found


def _users(tx: Session, one: Deleted, *, limit: int | None = None) -> Iterator[Deleted]:
    for kind, column in USERS[one.kind]:
        model = MODELS[kind]
        query = select(model.id).where(column == one.id).order_by(model.id).limit(limit)
        yield from (Deleted(kind, id) for id in tx.scalars(query))


def _refuse_if_running(tx: Session, resources: Sequence[Deleted]) -> None:
    for one in resources:
        if running := live_users(tx, one.kind, one.id):
            if one.kind == "job":
                message = f"{one.id} has not ended: cancel it, and delete it when it has ended"
            else:
                number = f"{len(running):,} jobs that have" if len(running) > 1 else "1 job that has"
                message = f"{number} not ended needs {one.id}: cancel it, or wait for its end"
            users = [UserOfResource("job", job_id, "has not ended") for job_id in running[:MAX_NAMED]]
            raise InUse("job_running", message, users)


def _refuse_if_used(tx: Session, root: Deleted) -> None:
    counts: Counter[str] = Counter()
    named: list[UserOfResource] = []
    for kind, column in USERS[root.kind]:
        model = MODELS[kind]
        number = tx.scalar(select(func.count()).select_from(model).where(column == root.id)) or 0
        if number:
            counts[name_of(kind)] = number
            detail = f"{name_of(kind)} {{}} refers to {root.id}"
            ids = tx.scalars(select(model.id).where(column == root.id).order_by(model.id).limit(MAX_NAMED - len(named)))
            named += [UserOfResource(kind, id, detail.format(id)) for id in ids]
    if root.kind == "attribute_set" and (edits := _num_edits(tx, root.id)):
        counts["draft"] = 1
        named.append(UserOfResource("draft", root.id, f"its draft has edits of {edits:,} labels that are not sealed"))
    if counts:
        uses = ", ".join(f"{number:,} × {name}" for name, number in counts.items())
        message = f"{root.id} is in use ({uses}): delete what uses it first, or everything together with ?force=true"
        raise InUse("in_use", message, named[:MAX_NAMED])


def _num_edits(tx: Session, set_id: str) -> int:
    query = select(func.count()).select_from(AttributeDraftEntry).where(AttributeDraftEntry.set_id == set_id)
    return tx.scalar(query) or 0


def _file_keys(tx: Session, doomed: Sequence[Deleted]) -> Iterator[str]:
    for kind, columns in _FILES.items():
        ids = [one.id for one in doomed if one.kind == kind]
        for start in range(0, len(ids), _BATCH):
            some = ids[start : start + _BATCH]
            for column, owner in columns:
                yield from (key for key in tx.scalars(select(column).where(owner.in_(some))) if key)


_FILES = {
    "checkpoint": ((CheckpointFile.file_key, CheckpointFile.checkpoint_id), (Checkpoint.samples_key, Checkpoint.id)),
    "caption_set": ((CaptionSet.file_key, CaptionSet.id),),
    "text_targets": ((TextTargets.file_key, TextTargets.id),),
    "dataset": tuple((key, Dataset.id) for key in (Dataset.manifest_key, Dataset.report_key, Dataset.contents_key)),
    "attribute_set": ((SetReport.file_key, SetReport.set_id),),
    "job": ((EpochFile.file_key, EpochFile.job_id),),
}
OWNED = {
    "checkpoint": (BlobPiece.checkpoint_id, CheckpointFile.checkpoint_id),
    "attribute_set": (SetReport.set_id, AttributeDraft.set_id),
    "job": (JobUsage.job_id, LLMReservation.job_id, EpochFile.job_id, EpochCheckpoint.job_id),
}
"""Tables that are small enough to be deleted in the same transaction."""


def _delete_rows(tx: Session, kind: Kind, ids: Sequence[str]) -> None:
    model = MODELS[kind]
    for start in range(0, len(ids), _BATCH):
        some = ids[start : start + _BATCH]
        for owner in OWNED.get(kind, ()):
            tx.execute(delete(owner.class_).where(owner.in_(some)), execution_options=_NO_SYNC)
        tx.execute(delete(model).where(model.id.in_(some)), execution_options=_NO_SYNC)
        if kind in PURGED:
            tx.add_all(Removal(id=id, kind=kind, created_at=time.time()) for id in some)
            tx.flush()
