"""Which artefacts are unused: real jobs, parts and checkpoints on both databases, in a folder and in memory."""

import os
import uuid
from pathlib import Path

import pytest
from sqlalchemy import inspect

from store.artefacts import Artefacts
from store.db import Database
from store.errors import DatabaseUnusable
from store.jobs import claims
from store.jobs.claims import Claim
from store.jobs.part_results import PartResult, TrainPartResult
from store.lifecycle import transitions
from store.models import Base, Job, Part
from store.upkeep.unused_artefacts import FILE_COLUMNS, delete_unused, find_unused
from tests.api.published import publish
from tests.store.job_helpers import DISTILL_PARTS, create_job, must_claim_next

AT_ONCE = -60.0
"""A grace period that no file is too young for."""


@pytest.fixture(params=["file", "memory"])
def artefacts(request: pytest.FixtureRequest, tmp_path: Path) -> Artefacts:
    return Artefacts(str(tmp_path / "store") if request.param == "file" else f"memory://{uuid.uuid4().hex}")


def unused(db: Database, artefacts: Artefacts, *, grace_s: float = AT_ONCE) -> dict[str, str]:
    return {one.file.key: one.kind for one in find_unused(db, artefacts, grace_s=grace_s)}


def keys(artefacts: Artefacts) -> set[str]:
    return {file.key for prefix in ("parts", "datasets", "imports") for file in artefacts.list_below(prefix)}


def put(artefacts: Artefacts, claim: Claim, *names: str) -> None:
    for name in names:
        artefacts.put_bytes(b"content", f"{claim.place}/{name}")


def trained(db: Database, artefacts: Artefacts) -> Claim:
    """A distill job whose encode and train parts have succeeded; the train part has a state and two outputs."""
    create_job(db, *DISTILL_PARTS)
    encode = must_claim_next(db)
    put(artefacts, encode, "leftover")
    with db.write() as tx:
        transitions.finish(tx, encode, PartResult())
    train = must_claim_next(db)
    put(artefacts, train, "state/000001.safetensors", "student.safetensors", "training.jsonl")
    with db.write() as tx:
        claims.save_state(tx, train, f"{train.place}/state/000001.safetensors", units=1)
    with db.write() as tx:
        files = {"student": f"{train.place}/student.safetensors", "training_log": f"{train.place}/training.jsonl"}
        transitions.finish(tx, train, TrainPartResult(files=files))
    return train


def test_every_column_that_names_an_artefact_is_read() -> None:
    named = {
        str(column) for table in Base.metadata.sorted_tables for column in table.columns if column.name.endswith("_key")
    }
    assert named == {str(inspect(column).expression) for column in FILE_COLUMNS} | {"parts.state_key"}


def test_a_running_attempt_keeps_its_files_and_a_dead_one_does_not(db: Database, artefacts: Artefacts) -> None:
    create_job(db)
    dead = must_claim_next(db)
    put(artefacts, dead, "student.safetensors", "state/000001.safetensors", "state/000002.safetensors")
    with db.write() as tx:
        claims.save_state(tx, dead, f"{dead.place}/state/000002.safetensors", units=2)
        transitions.release(tx, dead)
    # The next attempt resumes from the second state, also before it has begun.
    expected = {
        f"{dead.place}/student.safetensors": "files of dead attempts, duplicates",
        f"{dead.place}/state/000001.safetensors": "training states of ended parts",
    }
    assert unused(db, artefacts) == expected
    running = must_claim_next(db)
    assert running.part_id == dead.part_id
    put(artefacts, running, "student.safetensors", "state/000001.safetensors")
    assert unused(db, artefacts) == expected
    deleted = delete_unused(db, artefacts, find_unused(db, artefacts, grace_s=AT_ONCE))
    assert {one.file.key for one in deleted} == set(expected)
    assert f"{dead.place}/state/000002.safetensors" in keys(artefacts)
    assert unused(db, artefacts) == {}


def test_later_parts_of_a_job_find_what_the_training_made(db: Database, artefacts: Artefacts) -> None:
    train = trained(db, artefacts)
    found = unused(db, artefacts)
    assert list(found.values()) == ["files of dead attempts, duplicates"]  # the leftover of the encode part
    assert not any(key.startswith(train.place) for key in found)


def test_a_student_without_a_bundle_is_kept(db: Database, artefacts: Artefacts) -> None:
    train = trained(db, artefacts)
    evaluate = must_claim_next(db)
    put(artefacts, evaluate, "bundle/README.md")
    with db.write() as tx:
        transitions.fail(tx, evaluate, code="bundle_unfit", message="the trained weights are kept")
    found = unused(db, artefacts)
    assert f"{train.place}/student.safetensors" not in found
    assert found[f"{train.place}/state/000001.safetensors"] == "training states of ended parts"
    assert found[f"{evaluate.place}/bundle/README.md"] == "files of dead attempts, duplicates"


def test_a_published_student_keeps_its_bundle_only(db: Database, artefacts: Artefacts) -> None:
    train = trained(db, artefacts)
    publish(db, artefacts)
    with db.write() as tx:  # the published checkpoint is of this job
        tx.get_one(Part, train.part_id).job_id = "job_1"
        tx.get_one(Job, "job_1").finished_at = 0.0
    found = unused(db, artefacts)
    assert found[f"{train.place}/student.safetensors"] == "training outputs of published students"
    assert not any(key.startswith("parts/p/t/") for key in found)
    bundle = {key for key in keys(artefacts) if key.startswith("parts/p/")}
    assert len(bundle) == 4  # the text targets, and a blob of each file
    deleted = delete_unused(db, artefacts, find_unused(db, artefacts, grace_s=AT_ONCE))
    assert {key for key in keys(artefacts) if key.startswith("parts/p/")} == bundle
    assert f"{train.place}/state/000001.safetensors" in {one.file.key for one in deleted}
    with db.read() as tx:
        assert tx.get_one(Part, train.part_id).state_key is None


def test_registrations_that_were_never_committed(db: Database, artefacts: Artefacts) -> None:
    publish(db, artefacts)
    artefacts.put_bytes(b"", "datasets/dst_lost/manifest.jsonl")
    artefacts.put_bytes(b"", "imports/sha/label2text.txt")
    artefacts.put_bytes(b"", "another/program")
    assert unused(db, artefacts) == {
        "datasets/dst_lost/manifest.jsonl": "datasets that were never registered",
        "imports/sha/label2text.txt": "imports that were never stored",
    }


def test_young_files_are_left_alone(db: Database, artefacts: Artefacts) -> None:
    publish(db, artefacts)
    artefacts.put_bytes(b"", "datasets/dst_lost/manifest.jsonl")
    assert unused(db, artefacts, grace_s=3600) == {}


def test_a_file_that_was_changed_since_it_was_found_is_left_alone(db: Database, tmp_path: Path) -> None:
    artefacts = Artefacts(str(tmp_path))
    publish(db, artefacts)
    artefacts.put_bytes(b"", "imports/sha/label2text.txt")
    found = find_unused(db, artefacts, grace_s=AT_ONCE)
    os.utime(tmp_path / "imports" / "sha" / "label2text.txt", (0, 1))
    assert delete_unused(db, artefacts, found) == []
    assert (tmp_path / "imports" / "sha" / "label2text.txt").exists()


def test_the_store_of_another_service_is_refused(db: Database, artefacts: Artefacts) -> None:
    artefacts.put_bytes(b"", "parts/prt_other/token/student.safetensors")
    with pytest.raises(DatabaseUnusable, match="files of 1 part or dataset, of which this database knows none"):
        find_unused(db, artefacts, grace_s=AT_ONCE)


def test_empty_folders_of_a_local_store_are_removed(sqlite_db: Database, tmp_path: Path) -> None:
    artefacts = Artefacts(str(tmp_path / "store"))
    train = trained(sqlite_db, artefacts)
    delete_unused(sqlite_db, artefacts, find_unused(sqlite_db, artefacts, grace_s=AT_ONCE))
    attempts = [path.name for path in (tmp_path / "store" / "parts").glob("*/*")]
    assert attempts == [train.token]  # that of the encode part held the leftover only
