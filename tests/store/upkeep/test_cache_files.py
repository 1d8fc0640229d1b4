"""Unused files of the cache: abandoned folders and drafts, old results, and never what a running part may use."""

import os
import time
from pathlib import Path

import numpy as np
import pytest

from distill.data.row_cache import RowCache, stack_keys
from store.db import Database
from store.models import Part
from store.upkeep.cache_files import CACHES, delete, find_unused, in_use_since
from tests.store.job_helpers import create_job, must_claim_next

DAY_S = 86_400.0


def put(path: Path, *, days_ago: float, size: int = 10) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    set_age(path, days_ago)


def set_age(path: Path, days_ago: float) -> None:
    at = time.time() - days_ago * DAY_S
    os.utime(path, (at, at))


def unused(cache: Path, *, since: float | None = None, **limits: float | int) -> dict[str, str]:
    found = find_unused(cache, since=time.time() if since is None else since, **limits)  # type: ignore[arg-type]
    return {one.path.relative_to(cache).as_posix(): one.kind for one in found}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A dead worker's scratch folder and drafts, a living one's scratch folder, and results of three ages."""
    put(tmp_path / "part-dead" / "below" / "state", days_ago=2)
    put(tmp_path / "part-alive" / "state", days_ago=0)
    put(tmp_path / "pixels" / "drafts-7-x" / "pixels.npy", days_ago=2)
    put(tmp_path / "text" / "t" / ".a.part", days_ago=2)
    put(tmp_path / "text" / "t" / ".b.part", days_ago=0)
    for name, age in (("old", 40), ("middle", 20), ("new", 0)):
        put(tmp_path / "image" / f"{name}.safetensors", days_ago=age, size=1000)
    put(tmp_path / "notes.txt", days_ago=100)
    put(tmp_path / "other" / "file", days_ago=100)
    for folder in (tmp_path / "part-dead", tmp_path / "pixels" / "drafts-7-x"):
        set_age(folder, 2)
    set_age(tmp_path / "part-dead" / "below", 2)
    return tmp_path


ABANDONED = {
    "part-dead": "scratch folders of dead workers",
    "pixels/drafts-7-x": "scratch folders of dead workers",
    "text/t/.a.part": "half-written files",
}


def test_abandoned_folders_and_drafts(cache: Path) -> None:
    assert unused(cache) == ABANDONED


def test_results_by_age_and_by_size(cache: Path) -> None:
    old, middle = {"image/old.safetensors": "cached results"}, {"image/middle.safetensors": "cached results"}
    assert unused(cache, max_age_s=30 * DAY_S) == {**ABANDONED, **old}
    assert unused(cache, max_bytes=2_500) == {**ABANDONED, **old}
    assert unused(cache, max_bytes=1_100) == {**ABANDONED, **old, **middle}
    assert unused(cache, max_bytes=0) == {**ABANDONED, **old, **middle}  # the new one is too young


def test_nothing_that_was_used_after_the_oldest_running_part_began(cache: Path) -> None:
    since = time.time() - 30 * DAY_S
    assert unused(cache, since=since, max_bytes=0) == {"image/old.safetensors": "cached results"}


def test_deleting(cache: Path) -> None:
    found = find_unused(cache, since=time.time(), max_age_s=0.0)
    assert all(map(delete, found))
    assert unused(cache) == {}
    assert (cache / "part-alive" / "state").exists()
    assert (cache / "image" / "new.safetensors").exists()
    assert not delete(found[0])


def test_the_oldest_running_part(db: Database) -> None:
    with db.read() as tx:
        assert in_use_since(tx) == pytest.approx(time.time(), abs=10)
    create_job(db)
    claimed = must_claim_next(db)
    with db.write() as tx:
        tx.get_one(Part, claimed.part_id).started_at = 1000.0
    with db.read() as tx:
        assert in_use_since(tx) == 1000.0


def test_reading_a_cached_row_marks_its_file_as_used(tmp_path: Path) -> None:
    assert "image" in CACHES
    rows: RowCache[np.float32] = RowCache(tmp_path / "image" / "f", width=2, dtype=np.float32)
    rows.add(stack_keys([b"k" * 32]), np.ones((1, 2), dtype=np.float32))
    (shard,) = (tmp_path / "image" / "f").iterdir()
    set_age(shard, 40)
    assert list(unused(tmp_path, max_age_s=DAY_S)) == [shard.relative_to(tmp_path).as_posix()]
    assert rows.get(stack_keys([b"k" * 32]))[1].all()
    assert unused(tmp_path, max_age_s=DAY_S) == {}
