"""Deletion on both databases: what blocks it, what a forced one takes with it, and the purge of large tables."""

import threading
from collections.abc import Callable

import pytest
from sqlalchemy import func, insert, select, update

from store import resources, vocabularies
from store.artefacts import Artefacts
from store.db import Database
from store.errors import InUse, NotFound
from store.jobs import jobs
from store.jobs.jobs import NewPart
from store.models import AttributeSet, Base, Checkpoint, Event, Job, Label, Part, Removal, TextTargets, Vocabulary
from store.removal.delete import OWNED, DeletedResources, delete_resource
from store.removal.holds import MODELS, hold_named
from store.removal.kinds import PURGED, USERS
from store.removal.purge import purge
from store.sets import attribute_sets, drafts
from store.vocabularies import NewLabel
from tests.api.published import publish
from tests.job_specs import distill_spec


@pytest.fixture
def text_targets(db: Database, tmp_path: object) -> str:
    """A vocabulary, a set, a dataset, a job, text targets and a checkpoint; the id of the text targets."""
    return publish(db, Artefacts(f"file://{tmp_path}/artefacts"))


def delete(db: Database, kind: str, id: str, *, force: bool = False) -> DeletedResources:
    with db.write() as tx:
        return delete_resource(tx, kind, id, force=force)  # type: ignore[arg-type]


def count(db: Database, model: type[Base]) -> int:
    with db.read() as tx:
        return tx.scalar(select(func.count()).select_from(model)) or 0


def set_of(db: Database) -> str:
    with db.read() as tx:
        return tx.scalars(select(AttributeSet.id)).one()


@pytest.mark.parametrize(
    ("kind", "id", "users"),
    [
        ("vocabulary", "voc_1", {"attribute_set", "dataset", "text_targets", "checkpoint"}),
        ("dataset", "dst_1", {"checkpoint"}),
        ("job", "job_1", {"text_targets", "checkpoint"}),
        ("attribute_set", None, {"text_targets", "checkpoint"}),
        ("text_targets", None, {"checkpoint"}),
    ],
)
def test_a_resource_in_use_is_kept_and_its_users_are_named(
    db: Database, text_targets: str, kind: str, id: str | None, users: set[str]
) -> None:
    id = id or (text_targets if kind == "text_targets" else set_of(db))
    with pytest.raises(InUse) as refused:
        delete(db, kind, id)
    assert refused.value.code == "in_use"
    assert {user.kind for user in refused.value.users} == users
    assert all(user.id in user.detail for user in refused.value.users)
    assert count(db, Removal) == 0
    deletion = delete(db, kind, id, force=True)
    assert {one.kind for one in deletion.resources} == users | {kind}
    assert count(db, Checkpoint) == 0
    with pytest.raises(NotFound):
        delete(db, kind, id)


def test_a_forced_deletion_of_a_vocabulary_leaves_only_the_job_that_has_ended(db: Database, text_targets: str) -> None:
    deletion = delete(db, "vocabulary", "voc_1", force=True)
    assert deletion.resources[0].id == "voc_1"
    assert len(deletion.file_keys) == 5  # three files of the bundle, the text targets, the image index
    for model in (Vocabulary, AttributeSet, TextTargets, Checkpoint):
        assert count(db, model) == 0
    with db.read() as tx:
        assert jobs.get(tx, "job_1").status == "succeeded"


def test_a_job_that_has_not_ended_blocks_its_inputs_and_itself(db: Database, text_targets: str) -> None:
    with db.write() as tx:
        spec = distill_spec(dataset_id="dst_1", vocabulary_id="voc_1")
        job_id = jobs.create(tx, spec, [NewPart(kind="train", queue="gpu")]).id
        tx.execute(update(Job).where(Job.id == "job_1").values(status="running"))
    for kind, id, running in (
        ("job", job_id, job_id),
        ("dataset", "dst_1", job_id),
        ("vocabulary", "voc_1", job_id),
        ("text_targets", text_targets, "job_1"),  # a later part of the job that made them reads them
    ):
        for force in (False, True):
            with pytest.raises(InUse) as refused:
                delete(db, kind, id, force=force)
            assert refused.value.code == "job_running"
            assert [user.id for user in refused.value.users] == [running]
    with db.write() as tx:
        tx.execute(update(Job).values(status="failed"))
    assert "dst_1" in [one.id for one in delete(db, "vocabulary", "voc_1", force=True).resources]


def test_a_forced_deletion_is_refused_if_a_job_needs_something_that_refers_to_the_resource(
    db: Database, text_targets: str
) -> None:
    with db.write() as tx:
        spec = distill_spec(dataset_id="dst_2", vocabulary_id="voc_2", start_checkpoint_id="ckp_1")
        jobs.create(tx, spec, [NewPart(kind="train", queue="gpu")])
    with pytest.raises(InUse, match="ckp_1") as refused:
        delete(db, "vocabulary", "voc_1", force=True)
    assert refused.value.code == "job_running"
    assert count(db, Vocabulary) == 1


def test_sets_made_from_a_set_and_edits_that_are_not_sealed_use_it(db: Database) -> None:
    with db.write() as tx:
        vocabulary = vocabularies.create(tx, name="v", domain="", labels=[NewLabel("crane")])
        entry: attribute_sets.EntryContent = {"label": "crane", "sense": None, "lines": [], "flags": []}
        first = attribute_sets.create(
            tx, vocabulary_id=vocabulary.id, pages=attribute_sets.put_pages(tx, [entry]), source={}
        )
        drafts.advance(tx, first.id, None)
        drafts.put(tx, first.id, {0: {"lines": [], "flags": []}})
    with pytest.raises(InUse) as refused:
        delete(db, "attribute_set", first.id)
    assert [user.kind for user in refused.value.users] == ["draft"]
    with db.write() as tx:
        second = drafts.seal(tx, attribute_sets.get(tx, first.id), expected=None, edited_by="local").id
    with pytest.raises(InUse) as refused:
        delete(db, "attribute_set", first.id)
    assert [(user.kind, user.id) for user in refused.value.users] == [("attribute_set", second)]
    deletion = delete(db, "attribute_set", first.id, force=True)
    assert [one.id for one in deletion.resources] == [first.id, second]
    assert purge(db, for_s=10)
    assert delete(db, "vocabulary", vocabulary.id).counts == {"vocabulary": 1}


def test_every_row_of_a_deleted_job_is_purged_in_small_transactions(db: Database) -> None:
    with db.write() as tx:
        job_id, other_id = (
            jobs.create(tx, distill_spec(), [NewPart(kind="train", queue="gpu")] * 7).id for _ in range(2)
        )
        tx.execute(update(Job).where(Job.id == job_id).values(status="cancelled"))
        row = {"at": 0.0, "level": "info", "type": "message", "message": "m", "data": {}}
        tx.execute(insert(Event), [{"job_id": job_id, "id": number, **row} for number in range(2, 52)])
    delete(db, "job", job_id)
    assert (count(db, Job), count(db, Event), count(db, Part)) == (1, 52, 14)
    assert not purge(db, for_s=-1, rows=10)  # one transaction
    assert count(db, Event) == 42
    assert purge(db, for_s=10, rows=10)
    assert (count(db, Event), count(db, Part), count(db, Removal)) == (1, 7, 0)
    with db.read() as tx:
        assert set(tx.scalars(select(Part.job_id))) == {other_id}


def test_every_table_that_is_purged_has_an_index_of_its_owner() -> None:
    for tables in PURGED.values():
        for model, owner in tables:
            table = model.__table__
            indexed = [tuple(index.columns)[0].name for index in table.indexes]  # type: ignore[attr-defined]
            assert owner.key in [*indexed, tuple(table.primary_key)[0].name]


def test_no_other_table_refers_to_a_purged_one() -> None:
    purged = {model.__tablename__ for tables in PURGED.values() for model, _ in tables}
    keys = [key for table in Base.metadata.tables.values() for key in table.foreign_keys]
    assert not [key for key in keys if key.column.table.name in purged]


@pytest.mark.parametrize("first", ["delete", "hold"])
def test_a_hold_and_a_deletion_wait_for_each_other(db: Database, text_targets: str, first: str) -> None:
    """Whoever is first wins: a held resource is found in use, and a deleted one is not found."""
    spec = distill_spec(dataset_id="dst_1", vocabulary_id="voc_1")
    results: dict[str, object] = {}

    def hold() -> None:
        with db.write() as tx:
            hold_named(tx, spec.as_json())
            jobs.create(tx, spec, [NewPart(kind="train", queue="gpu")])
            if first == "hold":
                other.start()
                other.join(0.3)

    def remove() -> None:
        with db.write() as tx:
            delete_resource(tx, "vocabulary", "voc_1", force=True)
            if first == "delete":
                other.start()
                other.join(0.3)

    def run(name: str, work: Callable[[], None]) -> None:
        try:
            work()
            results[name] = "done"
        except (InUse, NotFound) as error:
            results[name] = type(error)

    names = {"delete": remove, "hold": hold}
    second = "hold" if first == "delete" else "delete"
    other = threading.Thread(target=run, args=(second, names[second]))
    run(first, names[first])
    other.join(20)
    assert results == {first: "done", second: NotFound if first == "delete" else InUse}
    with db.read() as tx:
        for job in tx.scalars(select(Job).where(Job.status == "queued")):
            assert resources.dataset(tx, str(job.spec["dataset_id"]))
    if first == "delete":
        assert purge(db, for_s=10)
        assert count(db, Label) == 0


def test_every_table_that_refers_to_a_resource_is_known() -> None:
    """A new foreign key to a resource is a user of it, or its table is deleted with it."""
    tables = {model.__tablename__: kind for kind, model in MODELS.items()}
    columns = [(kind, column) for kind, listed in USERS.items() for _, column in listed if hasattr(column, "class_")]
    columns += [(kind, column) for kind, listed in OWNED.items() for column in listed]
    known = {(kind, column.class_.__tablename__, column.key) for kind, column in columns}
    keys = {
        (tables[key.column.table.name], table.name, key.parent.name)
        for table in Base.metadata.tables.values()
        for key in table.foreign_keys
        if key.column.table.name in tables
    }
    assert keys <= known
