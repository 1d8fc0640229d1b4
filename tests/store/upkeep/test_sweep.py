"""What the periodic clean-up removes and keeps: pages of sets, events, drafts, blobs; and turns. On both databases."""

import time
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from store import vocabularies
from store.artefacts import Artefacts
from store.db import Database
from store.jobs import events, feature_chunks, jobs
from store.jobs.jobs import NewPart
from store.jobs.part_results import FeaturesResult
from store.lifecycle import transitions
from store.models import (
    AttributeDraftEntry,
    AttributeEntry,
    AttributePage,
    Base,
    Blob,
    Event,
    FeatureChunk,
    Job,
    Part,
    UnlistedEntry,
)
from store.removal.delete import delete_resource
from store.removal.purge import purge
from store.sets import attribute_sets, drafts
from store.sets.attribute_sets import EntryContent
from store.settings import Settings
from store.upkeep import retention, sweep, turns, unused_pages
from store.upkeep.unused_artefacts import delete_unreferenced, find_unused
from store.vocabularies import NewLabel
from tests.api.published import publish
from tests.job_specs import distill_spec
from tests.store.job_helpers import create_job, must_claim_next


def count(db: Database, model: type[Base]) -> int:
    with db.read() as tx:
        return tx.scalar(select(func.count()).select_from(model)) or 0


def entry(label: str, text: str) -> EntryContent:
    line = {"kind": "phrase", "text": text, "origin": "llm"}
    return {"label": label, "sense": None, "lines": [line], "flags": []}  # type: ignore[list-item]


def new_set(db: Database, vocabulary_id: str, *texts: str) -> str:
    with db.write() as tx:
        pages = attribute_sets.put_pages(tx, [entry(f"label {n}", text) for n, text in enumerate(texts)])
        return attribute_sets.create(tx, vocabulary_id=vocabulary_id, pages=pages, source={}).id


def remove(db: Database, set_id: str) -> None:
    with db.write() as tx:
        delete_resource(tx, "attribute_set", set_id)
    assert purge(db, for_s=10)


def test_pages_and_entries_of_deleted_sets_are_collected_and_shared_ones_stay(db: Database) -> None:
    with db.write() as tx:
        labels = [NewLabel("label 0"), NewLabel("label 1")]
        vocabulary_id = vocabularies.create(tx, name="v", domain="", labels=labels).id
    first, second = new_set(db, vocabulary_id, "a", "b"), new_set(db, vocabulary_id, "a", "c")
    equal = new_set(db, vocabulary_id, "a", "b")
    remove(db, first)
    assert unused_pages.delete_unused_pages(db) == (0, 0)
    remove(db, equal)
    assert unused_pages.delete_unused_pages(db) == (1, 1)
    with db.read() as tx:
        assert [one.lines[0]["text"] for one in attribute_sets.entries(tx, second) if one] == ["a", "c"]
    assert (count(db, AttributeEntry), count(db, UnlistedEntry)) == (2, 0)


def test_an_entry_that_is_stored_again_while_it_waits_for_its_deletion_stays(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A set with the entry is sealed between the look at all pages and the deletion of entries."""
    with db.write() as tx:
        vocabulary_id = vocabularies.create(tx, name="v", domain="", labels=[NewLabel("label 0")]).id
    remove(db, new_set(db, vocabulary_id, "a"))
    sealed: list[str] = []
    look = unused_pages._keep_listed

    def look_and_seal(db: Database) -> None:
        look(db)
        sealed.append(new_set(db, vocabulary_id, "a"))

    monkeypatch.setattr(unused_pages, "_keep_listed", look_and_seal)
    assert unused_pages.delete_unused_pages(db) == (1, 0)
    with db.read() as tx:
        assert attribute_sets.entries(tx, sealed[0])[0] is not None


def test_nothing_is_deleted_while_a_set_is_being_sealed(postgres_db: Database) -> None:
    db = postgres_db
    with db.write() as tx:
        vocabulary_id = vocabularies.create(tx, name="v", domain="", labels=[NewLabel("label 0")]).id
    remove(db, new_set(db, vocabulary_id, "a"))
    with db.write() as tx:
        pages = attribute_sets.put_pages(tx, [entry("label 0", "a")])  # the unused page is found and used again
        assert unused_pages.delete_unused_pages(db) == (0, 0)
        attribute_sets.create(tx, vocabulary_id=vocabulary_id, pages=pages, source={})
    assert unused_pages.delete_unused_pages(db) == (0, 0)
    assert count(db, AttributePage) == 1


def test_old_events_are_deleted_except_the_states(db: Database) -> None:
    with db.write() as tx:
        old, new, live = (jobs.create(tx, distill_spec(), []).id for _ in range(3))
        for job_id in (old, new, live):
            events.add(tx, job_id, "message", "m")
        tx.execute(update(Job).where(Job.id == old).values(finished_at=time.time() - 100))
        tx.execute(update(Job).where(Job.id == new).values(finished_at=time.time()))
    assert retention.delete_old_events(db, keep_s=50) == 1
    with db.read() as tx:
        assert list(tx.scalars(select(Event.type).where(Event.job_id == old))) == ["state"]
    assert count(db, Event) == 5


def test_old_drafts_are_emptied_and_their_version_goes_on(db: Database) -> None:
    with db.write() as tx:
        vocabulary_id = vocabularies.create(tx, name="v", domain="", labels=[NewLabel("label 0")]).id
    set_id = new_set(db, vocabulary_id, "a")
    with db.write() as tx:
        drafts.advance(tx, set_id, None)
        drafts.put(tx, set_id, {0: {"lines": [], "flags": []}})
    assert retention.delete_old_drafts(db, keep_s=3600) == 0
    assert retention.delete_old_drafts(db, keep_s=-60) == 1
    with db.read() as tx:
        assert (drafts.get(tx, set_id).version, count(db, AttributeDraftEntry)) == (2, 0)


def stored_chunk(db: Database, artefacts: Artefacts, digest: str, *, used_s_ago: float = 0.0) -> str:
    """A chunk of teacher features in the artefact store, last used some time ago; returns its key."""
    file = artefacts.put_bytes(b"features", f"features/prt_x/t/{digest}.safetensors")
    with db.write() as tx:
        feature_chunks.put(tx, digest, file, num_rows=1)
        used_at = time.time() - used_s_ago
        tx.execute(update(FeatureChunk).where(FeatureChunk.digest == digest).values(last_used_at=used_at))
    return file.key


def test_features_that_no_job_used_for_long_are_removed_and_those_of_live_jobs_stay(
    db: Database, tmp_path: Path
) -> None:
    artefacts = Artefacts(f"file://{tmp_path}/artefacts")
    create_job(db, NewPart(kind="features", queue="gpu"), NewPart(kind="train", queue="gpu", stage=1))
    part = must_claim_next(db)
    new = stored_chunk(db, artefacts, "new")
    old = stored_chunk(db, artefacts, "old", used_s_ago=100)
    needed = stored_chunk(db, artefacts, "needed", used_s_ago=100)
    with db.write() as tx:
        transitions.finish(tx, part, FeaturesResult(files={"center/f/needed": needed}))

    def swept(keep_s: float) -> list[str]:
        done = sweep.sweep(db, artefacts, Settings(home=tmp_path, keep_features_s=keep_s), "a", grace_s=-60)
        assert done is not None
        assert done.num_features == len(done.files)
        return [one.file.key for one in done.files]

    assert swept(0) == []
    forgotten = retention.old_features(db, keep_s=50)
    assert forgotten == {old}
    assert [one.file.key for one in find_unused(db, artefacts, grace_s=-60, forgotten=forgotten)] == [old]
    assert swept(50) == [old]
    with db.write() as tx:  # the job ends
        tx.execute(update(Part).values(status="succeeded"))
        tx.execute(update(Job).values(status="succeeded", finished_at=time.time()))
    assert swept(50) == [needed]
    assert [file.key for file in artefacts.list_below("features")] == [new]


def test_features_that_a_running_part_has_found_stay(db: Database, tmp_path: Path) -> None:
    """Until it ends, no result names them. A chunk that is used between the look and the deletion stays as well."""
    artefacts = Artefacts(f"file://{tmp_path}/artefacts")
    key = stored_chunk(db, artefacts, "found", used_s_ago=100)
    create_job(db, NewPart(kind="features", queue="gpu"))
    must_claim_next(db)
    with db.write() as tx:
        assert feature_chunks.use(tx, "found") == key
        assert feature_chunks.use(tx, "unknown") is None
    assert retention.delete_old_features(db, keep_s=-100) == 0, "used since the part began"
    with db.write() as tx:
        tx.execute(update(Part).values(status="queued"))
        before = feature_chunks.unused_before(tx, keep_s=-100)
        assert list(feature_chunks.find_unused(tx, before=before)) == ["found"]
        tx.execute(update(FeatureChunk).values(last_used_at=before + 1))
        assert feature_chunks.forget(tx, ["found"], before=before) == 0
        tx.execute(update(FeatureChunk).values(last_used_at=before - 1))
        assert feature_chunks.forget(tx, ["found"], before=before) == 1


def test_a_sweep_removes_blobs_that_no_bundle_contains_and_waits_for_its_turn(db: Database, tmp_path: Path) -> None:
    artefacts = Artefacts(f"file://{tmp_path}/artefacts")
    publish(db, artefacts)
    settings = Settings(home=tmp_path)
    assert sweep.sweep(db, artefacts, settings, "a", grace_s=-60) == sweep.Swept()
    with db.write() as tx:
        assert turns.take(tx, turns.FILES, "backup")
        deleted = delete_resource(tx, "checkpoint", "ckp_1")
    delete_unreferenced(db, artefacts, deleted.file_keys)
    assert sweep.sweep(db, artefacts, settings, "a", grace_s=-60) is None
    left = {file.key for file in artefacts.list_below("parts")}
    assert left >= set(deleted.file_keys) != set()
    with db.write() as tx:
        assert not turns.take(tx, turns.FILES, "b")
        turns.give_back(tx, turns.FILES, "backup")
    swept = sweep.sweep(db, artefacts, settings, "a", grace_s=-60)
    assert swept is not None
    assert {one.file.key for one in swept.files} == set(deleted.file_keys)
    assert count(db, Blob) == 0
    with db.write() as tx:
        assert turns.take(tx, turns.FILES, "b", for_s=-1)
        assert turns.take(tx, turns.FILES, "c"), "a turn that expired is free"
