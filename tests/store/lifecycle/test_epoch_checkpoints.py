"""Checkpoints of a running training: the newest are kept, none twice, and their files live as long as their rows."""

import pytest
from sqlalchemy import func, select

from store.artefacts import Artefacts
from store.db import Database
from store.errors import LeaseLost, NotFound
from store.jobs import events
from store.jobs.claims import Claim
from store.lifecycle import epoch_checkpoints, transitions
from store.models import EpochCheckpoint, EpochFile, Part
from store.removal.delete import delete_resource
from store.upkeep.unused_artefacts import delete_unreferenced, find_unused
from tests.store.job_helpers import create_job, must_claim_next


def save(db: Database, artefacts: Artefacts, claim: Claim, epoch: int, *, keep: int = 2) -> None:
    """Store the checkpoint of an epoch as a worker does: equal files once."""
    with db.read() as tx:
        known = epoch_checkpoints.stored_files(tx, claim.job_id)
    files = []
    for path, content in (("image/model.safetensors", b"weights %d" % epoch), ("targets/labels.json", b"{}")):
        stored = artefacts.put_bytes(content, f"{claim.place}/epochs/{epoch:06d}/{path}")
        if found := known.get(stored.sha256):
            artefacts.delete_below(stored.key)
            stored = found
        files.append((path, stored))
    with db.write() as tx:
        dropped = epoch_checkpoints.add(
            tx,
            claim,
            epoch=epoch,
            step=3 * epoch,
            metrics={"accuracy": epoch / 10},
            files=files,
            keep=keep,
            message=f"epoch {epoch}",
        )
    delete_unreferenced(db, artefacts, dropped)


def epochs(db: Database, job_id: str) -> list[int]:
    with db.read() as tx:
        rows, more = epoch_checkpoints.page(tx, job_id, limit=100)
        assert not more
        assert [row.metrics for row in rows] == [{"accuracy": row.epoch / 10} for row in rows]
        for row in rows:
            paths = [file.path for file in epoch_checkpoints.files_of(tx, job_id, [row.epoch])]
            assert paths == ["image/model.safetensors", "targets/labels.json"]
        return [row.epoch for row in rows]


def contents(db: Database, artefacts: Artefacts, job_id: str) -> list[bytes]:
    """The weights that the rows name."""
    with db.read() as tx:
        files = epoch_checkpoints.files_of(tx, job_id, range(100))
    return [artefacts.open(file.file_key).read() for file in files if file.path.startswith("image/")]


def stored_keys(artefacts: Artefacts) -> list[str]:
    return sorted("/".join(file.key.split("/")[3:]) for file in artefacts.list_below("parts"))


def test_the_newest_are_kept_and_files_that_are_equal_are_stored_once(db: Database, tmp_path: object) -> None:
    artefacts, job_id = Artefacts(f"file://{tmp_path}/artefacts"), create_job(db)
    claim = must_claim_next(db)
    for epoch in (2, 4, 6):
        save(db, artefacts, claim, epoch)
    assert epochs(db, job_id) == [4, 6]
    assert contents(db, artefacts, job_id) == [b"weights 4", b"weights 6"]
    # The labels were stored with the first checkpoint, whose row is gone.
    expected = ["2/targets/labels.json", "4/image/model.safetensors", "6/image/model.safetensors"]
    assert stored_keys(artefacts) == [f"epochs/00000{key}" for key in expected]
    with db.read() as tx:
        messages = [event.message for event in events.after(tx, job_id, 0, limit=9)]
        assert messages[-3:] == ["epoch 2", "epoch 4", "epoch 6"]
        page, more = epoch_checkpoints.page(tx, job_id, limit=1)
        assert ([row.epoch for row in page], more) == ([4], True)
        assert [row.epoch for row in epoch_checkpoints.page(tx, job_id, limit=1, after=4)[0]] == [6]
        with pytest.raises(NotFound, match="epoch 2"):
            epoch_checkpoints.get(tx, job_id, 2)


def test_an_attempt_that_trains_epochs_again_neither_repeats_nor_loses_checkpoints(
    db: Database, tmp_path: object
) -> None:
    artefacts, job_id = Artefacts(f"file://{tmp_path}/artefacts"), create_job(db)
    killed = must_claim_next(db)
    for epoch in (1, 2, 3):
        save(db, artefacts, killed, epoch)
    with db.write() as tx:
        transitions.release(tx, killed)
    again = must_claim_next(db)
    for epoch, is_wanted in ((1, False), (2, False), (3, False), (4, True)):
        with db.read() as tx:
            assert epoch_checkpoints.is_wanted(tx, job_id, epoch, keep=2) == is_wanted
    save(db, artefacts, again, 1)  # two processes that do not know of each other
    assert epochs(db, job_id) == [2, 3]
    assert contents(db, artefacts, job_id) == [b"weights 2", b"weights 3"]
    save(db, artefacts, again, 4)
    assert epochs(db, job_id) == [3, 4]
    with pytest.raises(LeaseLost):
        save(db, artefacts, killed, 5)
    assert epochs(db, job_id) == [3, 4]
    unused = {one.file.key for one in find_unused(db, artefacts, grace_s=-60)}
    assert unused == {f"{killed.place}/epochs/000005/image/model.safetensors"}


def test_they_stay_after_the_end_of_the_job_and_are_deleted_with_it(db: Database, tmp_path: object) -> None:
    artefacts, job_id = Artefacts(f"file://{tmp_path}/artefacts"), create_job(db)
    claim = must_claim_next(db)
    save(db, artefacts, claim, 1)
    with db.write() as tx:
        transitions.fail(tx, claim, code="gpu_out_of_memory", message="…")
    assert find_unused(db, artefacts, grace_s=-60) == []
    assert epochs(db, job_id) == [1]
    with db.write() as tx:
        deleted = delete_resource(tx, "job", job_id)
    delete_unreferenced(db, artefacts, deleted.file_keys)
    assert stored_keys(artefacts) == []
    with db.read() as tx:
        for model in (EpochCheckpoint, EpochFile):
            assert tx.scalar(select(func.count()).select_from(model)) == 0
        assert tx.scalar(select(func.count()).select_from(Part)) == 1  # purged later
