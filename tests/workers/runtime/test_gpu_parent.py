"""The parent ends GPU children that hang, with real processes (`hanging_child`), on SQLite."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from store.db import Database
from store.jobs import jobs
from store.jobs.jobs import NewPart
from store.jobs.specs import EncodeSpec
from store.lifecycle import transitions
from store.models import Job, Part
from tests.workers.runtime.part_helpers import make_context
from workers.runtime.attempt_traces import NOT_AVAILABLE
from workers.runtime.context import Context
from workers.runtime.gpu_parent import run_child

PROGRAM = "tests.workers.runtime.hanging_child"


class Hanging:
    """A context for hanging children, each of which a thread watches."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.threads: dict[str, threading.Thread] = {}
        self.ids: dict[str, tuple[str, str]] = {}

    def start(self, how: str) -> None:
        spec = EncodeSpec(vocabulary_id="voc_1", teacher=how, text="names")
        with self.context.db.write() as tx:
            job = jobs.create(tx, spec, [NewPart(kind="encode", queue="gpu")])
        with self.context.db.read() as tx:
            part_id = tx.query(Part.id).filter(Part.job_id == job.id).scalar()
        self.ids[how] = job.id, part_id
        self.threads[how] = threading.Thread(
            target=run_child, args=(self.context, part_id), kwargs={"program": PROGRAM}, name=how
        )
        self.threads[how].start()

    def rows(self, how: str) -> tuple[Job, Part]:
        job_id, part_id = self.ids[how]
        with self.context.db.read() as tx:
            return jobs.get(tx, job_id), tx.get_one(Part, part_id)

    def wait(self) -> None:
        for thread in self.threads.values():
            thread.join(60)
            assert not thread.is_alive(), thread.name


@pytest.fixture
def hanging(sqlite_db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hanging:
    context = make_context(sqlite_db, tmp_path)
    settings = context.settings.model_copy(update={"stall_limit_s": 2.5, "max_attempts": 1, "lease_s": 60.0})
    os.mkfifo(tmp_path / "x.jpg")
    monkeypatch.setenv("LIMBECK_HOME", str(tmp_path))
    monkeypatch.setenv("LIMBECK_DATABASE_URL", str(sqlite_db.url))
    monkeypatch.setenv("LIMBECK_LEASE_S", "60")
    return Hanging(Context(settings, context.db, context.artefacts))


def wait_until(condition: Callable[[], object]) -> None:
    give_up_at = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.02)


STOOD = "encode: no progress for 2 seconds at reading, 3 of 9 images"


@pytest.mark.slow
def test_a_child_that_hangs_ends_with_all_that_it_started_and_says_where_it_stood(hanging: Hanging) -> None:
    hanging.start("start_a_process")
    hanging.wait()
    error = hanging.rows("start_a_process")[0].error or {}
    assert error["code"] == "stalled"
    assert error["message"].startswith(f"{STOOD} (")
    assert "pathlib.py:" in error["message"]
    assert "read_fifo < " in error["message"]
    started = int((hanging.context.settings.home / "started").read_text())
    wait_until(lambda: not psutil.pid_exists(started) or psutil.Process(started).status() == psutil.STATUS_ZOMBIE)
    assert not list(hanging.context.settings.cache.glob("part-*"))


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("how", "place"),
    [
        ("suspend_itself", "(the process was suspended)"),
        ("ignore_sigterm", "ignore_sigterm"),
        ("hold_the_lock_of_python", "hold_the_lock_of_python"),
    ],
)
def test_a_child_that_does_not_react_ends(hanging: Hanging, how: str, place: str) -> None:
    hanging.start(how)
    hanging.wait()
    error = hanging.rows(how)[0].error or {}
    assert error["code"] == "stalled"
    assert error["message"].startswith(STOOD)
    assert place in error["message"]


@pytest.mark.nightly
def test_a_slow_child_that_makes_progress_ends_by_itself(hanging: Hanging) -> None:
    hanging.start("progress_slowly")
    hanging.wait()
    assert hanging.rows("progress_slowly")[0].status == "succeeded"


@pytest.mark.slow
def test_a_cancel_ends_a_child_that_ignores_it(hanging: Hanging) -> None:
    stuck = ("read_fifo", "ignore_sigterm")
    for how in stuck:
        hanging.start(how)
    wait_until(lambda: all(hanging.rows(how)[1].done == 3 for how in stuck))
    for how in stuck:
        with hanging.context.db.write() as tx:
            transitions.cancel(tx, hanging.ids[how][0])
    hanging.wait()
    assert {hanging.rows(how)[0].status for how in stuck} == {"cancelled"}


def test_a_child_whose_parent_died_while_it_started_claims_nothing(sqlite_db: Database, tmp_path: Path) -> None:
    context = make_context(sqlite_db, tmp_path)
    spec = EncodeSpec(vocabulary_id="voc_1", teacher="t", text="names")
    with context.db.write() as tx:
        job = jobs.create(tx, spec, [NewPart(kind="encode", queue="gpu")])
    with context.db.read() as tx:
        part_id = tx.query(Part.id).filter(Part.job_id == job.id).scalar()
    url = f"sqlite:///{tmp_path / 'limbeck.db'}"
    env = {**os.environ, "LIMBECK_HOME": str(tmp_path), "LIMBECK_DATABASE_URL": url}
    other = str(os.getppid())  # is not the parent of the child
    child = subprocess.run([sys.executable, "-m", "workers.child", part_id, "--parent", other], env=env, timeout=60)
    with context.db.read() as tx:
        part = tx.get_one(Part, part_id)
    assert (child.returncode, part.status, part.attempts, part.started_at) == (NOT_AVAILABLE, "queued", 0, None)
