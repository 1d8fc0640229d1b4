"""Codes of pipeline errors, and hooks that report to the lease."""

import hashlib
import os
from pathlib import Path

import pytest

from distill import Stopped
from distill.data.dataset.trained_on import save_contents
from distill.data.row_cache import stack_keys
from distill.teacher.teacher import TeacherError
from store.db import Database
from store.jobs import events
from tests.workers.runtime.part_helpers import claim_new_part, make_context, read_rows
from workers.gpu.pipeline_hooks import ERROR_CODES, MAX_NOTED, note_changed_images, pipeline_errors, pipeline_hooks
from workers.runtime.errors import PartError
from workers.runtime.lease_renewal import LeaseRenewal


@pytest.mark.parametrize(("kind", "code"), ERROR_CODES.items())
def test_a_pipeline_error_becomes_a_part_error_with_its_code(kind: type[Exception], code: str) -> None:
    with pytest.raises(PartError, match="reason") as raised, pipeline_errors():
        raise kind.__new__(kind, "reason")
    assert raised.value.code == code


def test_a_teacher_error_keeps_its_code() -> None:
    with pytest.raises(PartError, match="no such teacher") as raised, pipeline_errors():
        raise TeacherError("teacher_not_found", "no such teacher")
    assert raised.value.code == "teacher_not_found"


@pytest.mark.parametrize("error", [Stopped(), OSError("disk")])
def test_other_exceptions_are_not_converted(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, pipeline_errors():
        raise error
    assert raised.value is error


@pytest.mark.image_input(
    "Files, folders and shards",
    "an unusable image of a job whose name is not UTF-8",
    "an event of the job with escapes in place of these bytes",
)
def test_an_image_whose_name_is_not_utf_8_becomes_a_warning(sqlite_db: Database, tmp_path: Path) -> None:
    context = make_context(sqlite_db, tmp_path)
    claim = claim_new_part(context)
    lease = LeaseRenewal(context, claim)
    pipeline_hooks(lease).bad_image(Path("/data/crane") / os.fsdecode(b"b\xe4d.png"), "truncated")
    lease.flush()
    _, _, listed = read_rows(context, claim)
    assert [event.message for event in listed if event.level == "warning"] == [
        "image crane/b\\xe4d.png is left out: truncated"
    ]


def test_an_unusable_image_becomes_one_warning(db: Database, tmp_path: Path) -> None:
    context = make_context(db, tmp_path)
    claim = claim_new_part(context)
    lease = LeaseRenewal(context, claim)
    hooks = pipeline_hooks(lease)
    for _ in range(2):
        hooks.bad_image(Path("/data/crane/1.png"), "truncated")
    hooks.progress(3, 7, "images")
    lease.flush()
    _, part, listed = read_rows(context, claim)
    assert (part.done, part.total, part.unit) == (3, 7, "images")
    warnings = [(event.message, event.data) for event in listed if event.level == "warning"]
    assert warnings == [
        ("image crane/1.png is left out: truncated", {"image": "crane/1.png", "reason": "truncated"}),
    ]
    assert hooks.bad_images == {Path("/data/crane/1.png"): "truncated"}


@pytest.mark.image_input(
    "Files, folders and shards",
    "a job on a folder whose images are gone",
    "events for the first 100 images; the result of the job counts all",
)
def test_events_of_unusable_images_are_limited(sqlite_db: Database, tmp_path: Path) -> None:
    context = make_context(sqlite_db, tmp_path)
    claim = claim_new_part(context)
    lease = LeaseRenewal(context, claim)
    hooks = pipeline_hooks(lease)
    for number in range(MAX_NOTED + 3):
        hooks.bad_image(Path(f"/data/crane/{number}.png"), "no such file")
    lease.flush()
    with sqlite_db.read() as tx:
        messages = [one.message for one in events.after(tx, claim.job_id, 0, limit=1000) if one.level == "warning"]
    assert (len(messages), len(hooks.bad_images)) == (MAX_NOTED + 1, MAX_NOTED + 3)
    assert messages[-1] == "more images are left out; the result of the job counts them"


@pytest.mark.image_input(
    "Files, folders and shards",
    "a picture of a registered dataset that is replaced before a job trains on it",
    "a warning of the job with the number of such training images",
)
def test_images_that_changed_after_the_registration_are_a_warning(sqlite_db: Database, tmp_path: Path) -> None:
    context = make_context(sqlite_db, tmp_path)
    claim = claim_new_part(context)
    lease = LeaseRenewal(context, claim)
    contents = stack_keys(hashlib.sha256(name).digest() for name in (b"x", b"y", b"z"))
    save_contents(tmp_path / "contents", contents[:2])
    note_changed_images(lease, tmp_path / "contents", contents[:2])
    note_changed_images(lease, tmp_path / "contents", contents)
    lease.flush()
    _, _, listed = read_rows(context, claim)
    (warning,) = [event for event in listed if event.level == "warning"]
    assert warning.message.startswith("1 of 3 training images were changed after the dataset was registered")
    assert warning.data == {"num_changed": 1}
